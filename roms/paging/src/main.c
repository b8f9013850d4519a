/* Four-level paging: page sizes, permissions, reserved bits, A/D, global pages and PCID. As an operating system does, every
   change of a present entry is followed by INVLPG or a CR3 load. */
#include "chipset.h"
#include "idt64.h"

#define P 1ull
#define W 2ull
#define U 4ull
#define A 0x20ull
#define D 0x40ull
#define PS 0x80ull
#define G 0x100ull
#define NX (1ull << 63)
#define BASE 0x8000000000ull
/* Frames for the test, 2 MiB aligned RAM. */
#define RAM 0x800000ull

typedef void code(void);
void paging32_checks(void);

static volatile u64 pdpt[512] __attribute__((aligned(4096))), directory[512] __attribute__((aligned(4096)));
static volatile u64 tables[4][512] __attribute__((aligned(4096)));
static volatile u64 *const pml4 = (u64 *)TABLES;
static volatile u64 other_pml4[512] __attribute__((aligned(4096)));

static volatile u64 *at(u64 offset) { return (u64 *)(BASE + offset); }
static volatile u64 *ram(u64 offset) { return (u64 *)(RAM + offset); }

static void set(volatile u64 *entry, u64 value, u64 offset)
{
    *entry = value;
    invlpg(BASE + offset);
}

static void build(void)
{
    pml4[1] = (u64)pdpt | P | W | U;
    pdpt[0] = (u64)directory | P | W | U;
    for (int i = 0; i < 4; i++)
        directory[i] = (u64)tables[i] | P | W | U;
    for (u64 i = 0; i < 512; i++)
        *ram(i * 4096) = 0x1000 + i;
    WRITE_CR(3, READ_CR(3));
}

static void check_many(void)
{
    set_mode("4k");
    u64 got = 0, want = 0;
    for (u64 i = 0; i < 512; i++)
        tables[0][i] = (RAM + (511 - i) * 4096) | P | W;
    for (u64 i = 0; i < 512 && got == want; i++) {
        got = *at(i * 4096);
        want = 0x1000 + 511 - i;
    }
    check("512 pages in reverse", got, want);
    for (u64 i = 0; i < 512; i++)
        set(&tables[0][i], (RAM + (i * 37 & 511) * 4096) | P | W, i * 4096);
    got = want = 0;
    for (u64 i = 0; i < 512 && got == want; i++) {
        got = *at(i * 4096);
        want = 0x1000 + (i * 37 & 511);
    }
    check("512 pages permuted after invlpg", got, want);
    for (u64 round = 0, sum = 0; round < 200; round++) {
        set(&tables[1][0], (RAM + (round & 511) * 4096) | P | W, 0x200000);
        sum += *at(0x200000) == 0x1000 + round;
        if (round == 199)
            check("one page remapped 200 times", sum, 200);
    }
    *(volatile u64 *)(BASE + 0x1FFC) = 0x1122334455667788;
    check("a store across pages, first half", *(volatile u32 *)(RAM + (37 * 4096) + 0xFFC), 0x55667788);
    check("a store across pages, second half", *(volatile u32 *)(RAM + (74 * 4096)), 0x11223344);
    check("and read back", *(volatile u64 *)(BASE + 0x1FFC), 0x1122334455667788);
    for (u64 i = 0; i < 512; i++)
        *ram(i * 4096) = 0x1000 + i;
}

static void check_large(void)
{
    set_mode("large");
    set(&directory[4], RAM | P | W | PS, 4 << 21);
    check("2 MiB page", *at((4 << 21) + 5 * 4096), 0x1005);
    check("2 MiB page: A", directory[4] & (A | D), A);
    *at((4 << 21) + 0x1FFFF8) = 9;
    check("2 MiB page: D", directory[4] & (A | D), A | D);
    set(&directory[4], (u64)tables[3] | P | W, 4 << 21);
    tables[3][5] = (RAM + 6 * 4096) | P | W;
    check("split into 4 KiB pages", *at((4 << 21) + 5 * 4096), 0x1006);
    tcg_lacks = 1;
    set(&directory[5], (RAM | 0x2000) | P | W | PS, 5 << 21);
    EXPECT_ERROR("2 MiB page: reserved bit #PF(9)", PF, 9, (void)*at(5 << 21));
    tcg_lacks = 0;
    directory[5] = 0;
    u32 id[4];
    cpuid(0x80000001, 0, id);
    if (id[3] >> 26 & 1) {
        pdpt[2] = P | W | PS;
        check("1 GiB page", *(volatile u64 *)(BASE + (2ull << 30) + RAM + 7 * 4096), 0x1007);
        check("1 GiB page: A", pdpt[2] & A, A);
        pdpt[2] = P | W | PS | 0x2000;
        invlpg(BASE + (2ull << 30));
        tcg_lacks = 1;
        EXPECT_ERROR("1 GiB page: reserved bit #PF(9)", PF, 9, (void)*(volatile u64 *)(BASE + (2ull << 30)));
        tcg_lacks = 0;
        pdpt[2] = 0;
    } else {
        skip("1 GiB pages", "not in CPUID");
    }
}

static void check_permissions(void)
{
    set_mode("permissions");
    set(&tables[0][0], RAM | P, 0);
    EXPECT_ERROR("read-only #PF(3)", PF, 3, *at(0) = 1);
    set(&tables[0][0], RAM | P | W, 0);
    EXPECT("made writable", NO_TRAP, *at(0) = 1);
    set(&tables[0][0], RAM | P, 0);
    EXPECT_ERROR("read-only again #PF(3)", PF, 3, *at(0) = 2);
    set(&tables[0][0], RAM | P | W, 0);
    directory[0] &= ~W;
    WRITE_CR(3, READ_CR(3));
    EXPECT_ERROR("a read-only directory wins #PF(3)", PF, 3, *at(0) = 2);
    directory[0] |= W;
    *(volatile u8 *)RAM = 0xC3;
    set(&tables[0][0], RAM | P | W | NX, 0);
    EXPECT_ERROR("NX #PF(11)", PF, 0x11, ((code *)at(0))());
    set(&tables[0][0], RAM | P | W, 0);
    EXPECT("executable again", NO_TRAP, ((code *)at(0))());
    pdpt[0] |= NX;
    WRITE_CR(3, READ_CR(3));
    EXPECT_ERROR("NX in the PDPT entry #PF(11)", PF, 0x11, ((code *)at(0))());
    pdpt[0] &= ~NX;
    WRITE_CR(3, READ_CR(3));
    set(&tables[0][0], 0, 0);
    EXPECT_ERROR("unmapped #PF(0)", PF, 0, (void)*at(0));
    check("CR2", trap.cr2, BASE);
    tcg_lacks = 1;
    set(&tables[0][0], RAM | P | W | 1ull << 51, 0);
    EXPECT_ERROR("reserved bit #PF(9)", PF, 9, (void)*at(0));
    EXPECT_ERROR("reserved bit, write #PF(b)", PF, 0xB, *at(0) = 1);
    tcg_lacks = 0;
    wrmsr(0xC0000080, rdmsr(0xC0000080) & ~0x800ull);
    set(&tables[0][0], RAM | P | W | NX, 0);
    tcg_lacks = 1;
    EXPECT_ERROR("NX is reserved without EFER.NXE #PF(9)", PF, 9, (void)*at(0));
    tcg_lacks = 0;
    wrmsr(0xC0000080, rdmsr(0xC0000080) | 0x800);
    set(&tables[0][0], RAM | P | W, 0);
}

static void check_accessed(void)
{
    set_mode("accessed");
    set(&tables[0][8], (RAM + 0x8000) | P | W, 0x8000);
    directory[0] &= ~A;
    pdpt[0] &= ~A;
    pml4[1] &= ~A;
    WRITE_CR(3, READ_CR(3));
    (void)*at(0x8000);
    check("a read sets A", tables[0][8] & (A | D), A);
    check("A in every level", (directory[0] & pdpt[0] & pml4[1]) & A, A);
    *at(0x8000) = 1;
    check("a write sets D", tables[0][8] & (A | D), A | D);
    set(&tables[0][8], (RAM + 0x8000) | P | W, 0x8000);
    *at(0x8000) = 2;
    check("cleared and set anew", tables[0][8] & (A | D), A | D);
    set(&tables[0][8], (RAM + 0x8000) | P, 0x8000);
    EXPECT_ERROR("a refused write #PF(3)", PF, 3, *at(0x8000) = 3);
    check("a refused write sets no D", tables[0][8] & D, 0);
    set(&tables[0][8], (RAM + 0x8000) | P | W, 0x8000);
    asm volatile("lock xaddq %%rax, %0" : "+m"(*at(0x8000)) : "a"(1ull));
    check("a locked access sets D", tables[0][8] & (A | D), A | D);
}

static void check_cr3(void)
{
    set_mode("cr3");
    for (int i = 0; i < 512; i++)
        other_pml4[i] = pml4[i];
    set(&tables[0][9], (RAM + 0x9000) | P | W, 0x9000);
    (void)*at(0x9000);
    tables[0][9] = (RAM + 0xA000) | P | W;
    WRITE_CR(3, READ_CR(3));
    check("a CR3 load forgets", *at(0x9000), 0x100A);
    other_pml4[1] = 0;
    u64 old = READ_CR(3);
    WRITE_CR(3, other_pml4);
    EXPECT_ERROR("another address space #PF(0)", PF, 0, (void)*at(0x9000));
    WRITE_CR(3, old);
    check("and back", *at(0x9000), 0x100A);
    WRITE_CR(4, READ_CR(4) | 0x80);
    set(&tables[0][9], (RAM + 0xB000) | P | W | G, 0x9000);
    check("global page", *at(0x9000), 0x100B);
    set(&tables[0][9], (RAM + 0xC000) | P | W | G, 0x9000);
    check("invlpg reaches global pages", *at(0x9000), 0x100C);
    tables[0][9] = (RAM + 0xD000) | P | W;
    WRITE_CR(4, READ_CR(4) & ~0x80ull);
    check("clearing PGE forgets global pages", *at(0x9000), 0x100D);
}

static void invpcid(u64 type, u64 pcid, u64 address)
{
    u64 descriptor[2] = { pcid, address };
    asm volatile("invpcid %0, %1" : : "m"(descriptor), "r"(type) : "memory");
}

static void check_pcid(void)
{
    u32 id[4];
    set_mode("pcid");
    cpuid(1, 0, id);
    if (!(id[2] >> 17 & 1)) {
        skip("PCID", "not in CPUID");
        return;
    }
    u64 old = READ_CR(3);
    WRITE_CR(4, READ_CR(4) | 1 << 17);
    other_pml4[1] = 0;
    WRITE_CR(3, (u64)other_pml4 | 2);
    EXPECT_ERROR("PCID 2 #PF(0)", PF, 0, (void)*at(0x9000));
    WRITE_CR(3, old | 1);
    check("PCID 1", *at(0x9000), 0x100D);
    WRITE_CR(3, (u64)other_pml4 | 2 | 1ull << 63);
    EXPECT_ERROR("PCID 2 with bit 63 #PF(0)", PF, 0, (void)*at(0x9000));
    check("CR3 bit 63 reads as 0", READ_CR(3), (u64)other_pml4 | 2);
    WRITE_CR(3, old);
    cpuid(7, 0, id);
    if (id[1] >> 10 & 1) {
        tables[0][9] = (RAM + 0xE000) | P | W;
        invpcid(0, 0, BASE + 0x9000);
        check("invpcid, one address", *at(0x9000), 0x100E);
        tables[0][9] = (RAM + 0xF000) | P | W;
        invpcid(2, 0, 0);
        check("invpcid, everything", *at(0x9000), 0x100F);
    } else {
        skip("INVPCID", "not in CPUID");
    }
    WRITE_CR(4, READ_CR(4) & ~(1ull << 17));
}

void main64(void)
{
    idt64_init();
    build();
    check_many();
    check_large();
    check_permissions();
    check_accessed();
    check_cr3();
    check_pcid();
    finish();
}
