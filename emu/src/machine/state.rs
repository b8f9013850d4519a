//! A machine's state as sections and regions, and its hash.

use super::Machine;
use amber_mmu::FrameId;
use amber_snapshot::{OwnedSection, Section, StateHash, hash_sections};

impl Machine {
    /// Every section, in a fixed order.
    pub fn sections(&self) -> Vec<OwnedSection> {
        let mut sections = vec![self.position.to_section("machine")];
        sections.extend(self.vcpus.iter().enumerate().map(|(n, vcpu)| vcpu.save(&format!("cpu{n}"))));
        sections.extend(self.platform.sections("platform0"));
        sections
    }

    /// Hash of the whole state.
    pub fn state_hash(&mut self) -> StateHash {
        let sections = self.sections();
        let roots = self.region_roots();
        hash_sections(&sections, &roots)
    }

    /// Hash of architectural processor state and RAM alone: what golden tests compare, so that a new device does
    /// not change them all.
    pub fn architectural_hash(&mut self) -> StateHash {
        let cpus: Vec<_> =
            self.vcpus.iter().enumerate().map(|(n, vcpu)| vcpu.save(&format!("cpu{n}"))).collect();
        let roots = self.region_roots();
        hash_sections(&cpus, &roots[..1])
    }

    fn region_roots(&mut self) -> Vec<(&'static str, [u8; 32])> {
        self.mmu.seal();
        let mmu = &self.mmu;
        self.regions
            .iter_mut()
            .map(|region| {
                let frame = |i: usize| FrameId(region.first.0 + i as u32);
                let root = region.hasher.root(
                    region.pages as usize,
                    |i| mmu.generation(frame(i)),
                    |i| mmu.frame(frame(i)),
                );
                (region.name, root)
            })
            .collect()
    }
}
