//! The state hash: blake3 over sections and a hash tree over regions.

use crate::OwnedSection;

/// Hash of a whole machine state; equal exactly when sections and regions are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateHash(pub [u8; 32]);

impl std::fmt::Display for StateHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hashes `sections` (in the order given, which is part of the hash) and the roots of named regions.
pub fn hash_sections(sections: &[OwnedSection], regions: &[(&str, [u8; 32])]) -> StateHash {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for section in sections {
        part(section.path.as_bytes());
        part(section.kind.as_bytes());
        part(&section.version.to_le_bytes());
        part(&section.bytes);
    }
    for (name, root) in regions {
        part(name.as_bytes());
        part(root);
    }
    StateHash(*hasher.finalize().as_bytes())
}

/// Hash tree over the frames of a region: leaves are 4 KiB frames, inner nodes have 512 children. Recomputing
/// costs what changed since the last call.
#[derive(Clone, Debug, Default)]
pub struct RegionHasher {
    leaves: Vec<Leaf>,
    groups: Vec<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Leaf {
    generation: Option<u64>,
    hash: [u8; 32],
}

const GROUP: usize = 512;

impl RegionHasher {
    /// Root over `frames` frames. `generation(i)` is frame i's write generation, `None` while it is all zero
    /// and was never written; `bytes(i)` is asked only for frames whose generation changed.
    pub fn root<'a>(
        &mut self,
        frames: usize,
        generation: impl Fn(usize) -> Option<u64>,
        bytes: impl Fn(usize) -> &'a [u8],
    ) -> [u8; 32] {
        let zero = *blake3::hash(&[0; 4096]).as_bytes();
        if self.leaves.len() != frames {
            self.leaves = vec![Leaf { generation: None, hash: zero }; frames];
            self.groups.clear();
        }
        let fresh = self.groups.is_empty();
        self.groups.resize(frames.div_ceil(GROUP), [0; 32]);
        for (group, leaves) in self.leaves.chunks_mut(GROUP).enumerate() {
            let mut changed = fresh;
            for (i, leaf) in leaves.iter_mut().enumerate() {
                let frame = group * GROUP + i;
                let now = generation(frame);
                if now != leaf.generation {
                    leaf.generation = now;
                    leaf.hash = now.map_or(zero, |_| *blake3::hash(bytes(frame)).as_bytes());
                    changed = true;
                }
            }
            if changed {
                let mut hasher = blake3::Hasher::new();
                leaves.iter().for_each(|leaf| {
                    hasher.update(&leaf.hash);
                });
                self.groups[group] = *hasher.finalize().as_bytes();
            }
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(frames as u64).to_le_bytes());
        self.groups.iter().for_each(|hash| {
            hasher.update(hash);
        });
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_follows_content_not_history() {
        let mut ram = vec![[0u8; 4096]; 1500];
        let mut generations: Vec<Option<u64>> = vec![None; 1500];
        let mut kept = RegionHasher::default();
        let empty = kept.root(1500, |i| generations[i], |i| &ram[i]);
        ram[700][5] = 1;
        generations[700] = Some(1);
        let changed = kept.root(1500, |i| generations[i], |i| &ram[i]);
        assert_ne!(empty, changed);
        assert_eq!(changed, RegionHasher::default().root(1500, |i| generations[i], |i| &ram[i]));
        ram[700][5] = 0;
        generations[700] = Some(2);
        assert_eq!(empty, kept.root(1500, |i| generations[i], |i| &ram[i]));
    }
}
