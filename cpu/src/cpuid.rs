//! CPU models: what CPUID, the capability MSRs and feature checks say. A model is a row of this table; models are
//! versioned and never change once released.

use crate::state::cr;
use amber_mmu::MONITOR_LINE;

/// CPUID registers of one leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// A versioned CPU model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuModel {
    /// Name as `--cpu` takes it.
    pub name: &'static str,
    /// Brand string, at most 48 bytes.
    pub brand: &'static str,
    /// CPUID.01H:EAX.
    pub signature: u32,
    /// CPUID.01H:ECX without OSXSAVE.
    pub features_1_ecx: u32,
    /// CPUID.01H:EDX.
    pub features_1_edx: u32,
    /// CPUID.07H.0:EBX.
    pub features_7_ebx: u32,
    /// CPUID.07H.0:ECX.
    pub features_7_ecx: u32,
    /// CPUID.07H.0:EDX.
    pub features_7_edx: u32,
    /// CPUID.0DH.1:EAX.
    pub features_xsave: u32,
    /// CPUID.80000001H:ECX.
    pub features_ext_ecx: u32,
    /// CPUID.80000001H:EDX.
    pub features_ext_edx: u32,
    /// MAXPHYADDR.
    pub physical_bits: u8,
    /// IA32_ARCH_CAPABILITIES.
    pub arch_capabilities: u64,
}

/// TSC and core crystal frequency, Hz: one tick per ns of virtual time.
pub const TSC_HZ: u64 = 1_000_000_000;

pub mod feature {
    pub const SSE3: u32 = 1;
    pub const PCLMULQDQ: u32 = 1 << 1;
    pub const MONITOR: u32 = 1 << 3;
    pub const SSSE3: u32 = 1 << 9;
    pub const CX16: u32 = 1 << 13;
    pub const PCID: u32 = 1 << 17;
    pub const SSE41: u32 = 1 << 19;
    pub const SSE42: u32 = 1 << 20;
    pub const X2APIC: u32 = 1 << 21;
    pub const MOVBE: u32 = 1 << 22;
    pub const POPCNT: u32 = 1 << 23;
    pub const TSC_DEADLINE: u32 = 1 << 24;
    pub const AES: u32 = 1 << 25;
    pub const XSAVE: u32 = 1 << 26;
    pub const OSXSAVE: u32 = 1 << 27;
    pub const RDRAND: u32 = 1 << 30;
    pub const HYPERVISOR: u32 = 1 << 31;
    /// FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 SS.
    pub const BASE_EDX: u32 = 0x0F8B_FBFF;
    pub const HTT: u32 = 1 << 28;
    /// CPUID.07H.0:EBX from here on.
    pub const FSGSBASE: u32 = 1;
    pub const SMEP: u32 = 1 << 7;
    pub const ERMS: u32 = 1 << 9;
    pub const INVPCID: u32 = 1 << 10;
    pub const RDSEED: u32 = 1 << 18;
    pub const SMAP: u32 = 1 << 20;
    pub const SEVEN_EBX: u32 = FSGSBASE | SMEP | ERMS | RDSEED | SMAP;
    /// CPUID.07H.0:ECX.
    pub const UMIP: u32 = 1 << 2;
    pub const SEVEN_ECX: u32 = UMIP;
    /// ARCH_CAPABILITIES.
    pub const SEVEN_EDX: u32 = 1 << 29;
    /// XSAVEOPT, XSAVEC.
    pub const XSAVEOPT: u32 = 1;
    pub const XSAVEC: u32 = 1 << 1;
    /// LAHF.
    pub const EXT_ECX: u32 = 1;
    /// SYSCALL, NX, 1 GiB pages, RDTSCP, LM.
    pub const EXT_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29;
}

/// Bits of IA32_ARCH_CAPABILITIES that say what the processor does not suffer from: RDCL_NO, IBRS_ALL is not
/// claimed, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO,
/// BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO.
const INVULNERABLE: u64 = 1
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 20
    | 1 << 24
    | 1 << 26
    | 1 << 27
    | 1 << 62;

/// Every model this build knows.
pub const MODELS: &[CpuModel] = &[CpuModel {
    name: "amber-v2.1",
    brand: "Amber x86-64-v2 CPU",
    // Family 6, model 0x2F (Westmere-class), stepping 2.
    signature: 0x0002_06F2,
    features_1_ecx: feature::SSE3
        | feature::PCLMULQDQ
        | feature::MONITOR
        | feature::SSSE3
        | feature::CX16
        | feature::PCID
        | feature::SSE41
        | feature::SSE42
        | feature::X2APIC
        | feature::MOVBE
        | feature::POPCNT
        | feature::TSC_DEADLINE
        | feature::AES
        | feature::XSAVE
        | feature::RDRAND
        | feature::HYPERVISOR,
    features_1_edx: feature::BASE_EDX,
    features_7_ebx: feature::SEVEN_EBX,
    features_7_ecx: feature::SEVEN_ECX,
    features_7_edx: feature::SEVEN_EDX,
    features_xsave: feature::XSAVEOPT | feature::XSAVEC,
    features_ext_ecx: feature::EXT_ECX,
    features_ext_edx: feature::EXT_EDX,
    physical_bits: 40,
    arch_capabilities: INVULNERABLE,
}];

/// What CPUID depends on besides the model.
#[derive(Clone, Copy, Debug)]
pub struct CpuidInputs {
    /// This processor's APIC id.
    pub apic_id: u32,
    /// Logical processors of the package.
    pub cpus: u32,
    /// CR4.OSXSAVE.
    pub osxsave: bool,
    /// XCR0.
    pub xcr0: u64,
    /// IA32_APIC_BASE enables the APIC.
    pub apic_enabled: bool,
    /// IA32_MISC_ENABLE turns MONITOR and MWAIT on.
    pub monitor: bool,
}

impl CpuModel {
    /// The model of that name.
    pub fn named(name: &str) -> Option<Self> {
        MODELS.iter().find(|model| model.name == name).copied()
    }

    /// Turns a feature on or off by its `/proc/cpuinfo` name. False if there is none of that name.
    pub fn set_feature(&mut self, name: &str, on: bool) -> bool {
        let (word, bit) = match name {
            "sse3" | "pni" => (&mut self.features_1_ecx, feature::SSE3),
            "pclmulqdq" => (&mut self.features_1_ecx, feature::PCLMULQDQ),
            "monitor" => (&mut self.features_1_ecx, feature::MONITOR),
            "ssse3" => (&mut self.features_1_ecx, feature::SSSE3),
            "cx16" => (&mut self.features_1_ecx, feature::CX16),
            "pcid" => (&mut self.features_1_ecx, feature::PCID),
            "sse4_1" => (&mut self.features_1_ecx, feature::SSE41),
            "sse4_2" => (&mut self.features_1_ecx, feature::SSE42),
            "x2apic" => (&mut self.features_1_ecx, feature::X2APIC),
            "movbe" => (&mut self.features_1_ecx, feature::MOVBE),
            "popcnt" => (&mut self.features_1_ecx, feature::POPCNT),
            "tsc_deadline_timer" => (&mut self.features_1_ecx, feature::TSC_DEADLINE),
            "aes" => (&mut self.features_1_ecx, feature::AES),
            "xsave" => (&mut self.features_1_ecx, feature::XSAVE),
            "rdrand" => (&mut self.features_1_ecx, feature::RDRAND),
            "hypervisor" => (&mut self.features_1_ecx, feature::HYPERVISOR),
            "fsgsbase" => (&mut self.features_7_ebx, feature::FSGSBASE),
            "smep" => (&mut self.features_7_ebx, feature::SMEP),
            "erms" => (&mut self.features_7_ebx, feature::ERMS),
            "rdseed" => (&mut self.features_7_ebx, feature::RDSEED),
            "smap" => (&mut self.features_7_ebx, feature::SMAP),
            "umip" => (&mut self.features_7_ecx, feature::UMIP),
            _ => return false,
        };
        if on {
            *word |= bit
        } else {
            *word &= !bit
        }
        true
    }

    /// CR4 bits that may be set.
    pub fn cr4_bits(&self) -> u64 {
        let with = |word: u32, feature: u32, bit: u64| if word & feature != 0 { bit } else { 0 };
        cr::CR4_VME
            | cr::CR4_PVI
            | cr::CR4_TSD
            | cr::CR4_DE
            | cr::CR4_PSE
            | cr::CR4_PAE
            | cr::CR4_MCE
            | cr::CR4_PGE
            | cr::CR4_PCE
            | cr::CR4_OSFXSR
            | cr::CR4_OSXMMEXCPT
            | with(self.features_7_ecx, feature::UMIP, cr::CR4_UMIP)
            | with(self.features_7_ebx, feature::FSGSBASE, cr::CR4_FSGSBASE)
            | with(self.features_1_ecx, feature::PCID, cr::CR4_PCIDE)
            | with(self.features_1_ecx, feature::XSAVE, cr::CR4_OSXSAVE)
            | with(self.features_7_ebx, feature::SMEP, cr::CR4_SMEP)
            | with(self.features_7_ebx, feature::SMAP, cr::CR4_SMAP)
    }

    /// Size of the XSAVE area for the state components in `mask`.
    pub fn xsave_size(_mask: u64) -> u32 {
        // x87 and SSE live in the legacy area; only the header follows.
        576
    }

    /// XCR0 bits that may be set.
    pub fn xcr0_mask(&self) -> u64 {
        3
    }

    /// CPUID (SDM Vol. 2A). Leaves beyond the last basic one answer as the last basic leaf does on Intel's.
    pub fn cpuid(&self, leaf: u32, subleaf: u32, inputs: &CpuidInputs) -> Leaf {
        match leaf {
            0x8000_0000..=0x8000_0008 => self.extended(leaf),
            0x4000_0000 => {
                Leaf { eax: 0x4000_0001, ebx: word(b"Ambe"), ecx: word(b"rAmb"), edx: word(b"er  ") }
            }
            // Displacement of the NOP by which software asks the machine for something, and the version of that.
            0x4000_0001 => Leaf { eax: crate::semantics::request::DISPLACEMENT, ebx: 1, ecx: 0, edx: 0 },
            0x4000_0002..=0x4000_00FF => Leaf::default(),
            0..=0x16 => self.basic(leaf, subleaf, inputs),
            _ => self.basic(0x16, subleaf, inputs),
        }
    }

    fn basic(&self, leaf: u32, subleaf: u32, inputs: &CpuidInputs) -> Leaf {
        match leaf {
            0 => Leaf { eax: 0x16, ebx: word(b"Genu"), edx: word(b"ineI"), ecx: word(b"ntel") },
            1 => self.features(inputs),
            2 => Leaf { eax: 0xFF01, ebx: 0, ecx: 0, edx: 0 },
            4 => cache(subleaf, inputs.cpus),
            5 if !inputs.monitor => Leaf::default(),
            // The line; interrupts may break a wait while masked. No C-states: kernels that see some manage them by MSRs
            // of this model that do not exist.
            5 => Leaf { eax: MONITOR_LINE as u32, ebx: MONITOR_LINE as u32, ecx: 3, edx: 0 },
            6 => Leaf { eax: 1 << 2, ..Leaf::default() },
            7 if subleaf == 0 => {
                Leaf { eax: 0, ebx: self.features_7_ebx, ecx: self.features_7_ecx, edx: self.features_7_edx }
            }
            0xB => topology(subleaf, inputs),
            0xD => self.xsave_leaf(subleaf, inputs),
            // TSC = crystal * EBX / EAX.
            0x15 => Leaf { eax: 1, ebx: 1, ecx: TSC_HZ as u32, edx: 0 },
            0x16 => Leaf { eax: 1000, ebx: 1000, ecx: 100, edx: 0 },
            _ => Leaf::default(),
        }
    }

    fn features(&self, inputs: &CpuidInputs) -> Leaf {
        let htt = if inputs.cpus > 1 { feature::HTT } else { 0 };
        let monitor = if inputs.monitor { 0 } else { feature::MONITOR };
        let apic = if inputs.apic_enabled { 0 } else { 1 << 9 };
        Leaf {
            eax: self.signature,
            ebx: inputs.apic_id << 24 | inputs.cpus.min(255) << 16 | 8 << 8,
            ecx: self.features_1_ecx & !monitor | if inputs.osxsave { feature::OSXSAVE } else { 0 },
            edx: (self.features_1_edx | htt) & !apic,
        }
    }

    fn xsave_leaf(&self, subleaf: u32, inputs: &CpuidInputs) -> Leaf {
        match subleaf {
            0 => Leaf {
                eax: self.xcr0_mask() as u32,
                ebx: Self::xsave_size(inputs.xcr0),
                ecx: Self::xsave_size(self.xcr0_mask()),
                edx: 0,
            },
            1 => Leaf { eax: self.features_xsave, ebx: Self::xsave_size(inputs.xcr0), ecx: 0, edx: 0 },
            _ => Leaf::default(),
        }
    }

    fn extended(&self, leaf: u32) -> Leaf {
        match leaf {
            0x8000_0000 => Leaf { eax: 0x8000_0008, ..Leaf::default() },
            0x8000_0001 => Leaf { eax: 0, ebx: 0, ecx: self.features_ext_ecx, edx: self.features_ext_edx },
            0x8000_0002..=0x8000_0004 => self.brand_leaf((leaf - 0x8000_0002) as usize),
            // L2: 256 KiB, 8-way, 64-byte lines.
            0x8000_0006 => Leaf { ecx: 256 << 16 | 6 << 12 | 64, ..Leaf::default() },
            // Invariant TSC.
            0x8000_0007 => Leaf { edx: 1 << 8, ..Leaf::default() },
            0x8000_0008 => Leaf { eax: u32::from(self.physical_bits) | 48 << 8, ..Leaf::default() },
            _ => Leaf::default(),
        }
    }

    fn brand_leaf(&self, part: usize) -> Leaf {
        let mut brand = [0u8; 48];
        let len = self.brand.len().min(47);
        brand[..len].copy_from_slice(&self.brand.as_bytes()[..len]);
        let at = |i: usize| {
            let start = part * 16 + i * 4;
            word(&[brand[start], brand[start + 1], brand[start + 2], brand[start + 3]])
        };
        Leaf { eax: at(0), ebx: at(1), ecx: at(2), edx: at(3) }
    }
}

fn word(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}

/// Leaf 4: L1D 32 KiB, L1I 32 KiB, L2 256 KiB, all 8-way with 64-byte lines.
fn cache(subleaf: u32, cpus: u32) -> Leaf {
    let cores = (cpus.clamp(1, 64).next_power_of_two() - 1) << 26;
    let (kind, level, sets) = match subleaf {
        0 => (1, 1, 64),
        1 => (2, 1, 64),
        2 => (3, 2, 512),
        _ => return Leaf::default(),
    };
    Leaf { eax: kind | level << 5 | 1 << 8 | cores, ebx: 63 | 7 << 22, ecx: sets - 1, edx: 0 }
}

/// Leaf 0BH: one thread a core, all cores in one package.
fn topology(subleaf: u32, inputs: &CpuidInputs) -> Leaf {
    let bits = inputs.cpus.next_power_of_two().trailing_zeros();
    match subleaf {
        0 => Leaf { eax: 0, ebx: 1, ecx: 1 << 8, edx: inputs.apic_id },
        1 => Leaf { eax: bits, ebx: inputs.cpus, ecx: 1 | 2 << 8, edx: inputs.apic_id },
        _ => Leaf { eax: 0, ebx: 0, ecx: subleaf & 0xFF, edx: inputs.apic_id },
    }
}
