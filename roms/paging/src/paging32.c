/* The 32-bit part: two-level paging with 4 KiB and 4 MiB pages, and PAE with its registers. */
#include "check.h"
#include "idt32.h"

#define P 1u
#define W 2u
#define A 0x20u
#define D 0x40u
#define PS 0x80u
#define BASE 0x40000000u
#define RAM 0x800000u

typedef void code(void);
static volatile u32 directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static volatile u64 pdpt[4] __attribute__((aligned(32)));
static volatile u64 pae_directory[512] __attribute__((aligned(4096))), high_directory[512] __attribute__((aligned(4096)));
static volatile u64 pae_table[512] __attribute__((aligned(4096)));

static volatile u32 *at(u32 offset) { return (u32 *)(BASE + offset); }

static void number_frames(void)
{
    for (u32 i = 0; i < 1024; i++)
        *(volatile u32 *)(RAM + i * 4096) = 0x1000 + i;
}

static void check_two_level(void)
{
    set_mode("32-bit");
    for (u32 i = 0; i < 1024; i++) {
        directory[i] = i << 22 | P | W | PS;
        table[i] = (RAM + (1023 - i) * 4096) | P | W;
    }
    directory[256] = (u32)table | P | W;
    WRITE_CR(4, READ_CR(4) | 0x10);
    WRITE_CR(3, directory);
    WRITE_CR(0, READ_CR(0) | 0x80010000);
    u32 got = 0, want = 0;
    for (u32 i = 0; i < 1024 && got == want; i++) {
        got = *at(i * 4096);
        want = 0x1000 + 1023 - i;
    }
    check("1024 pages in reverse", got, want);
    check("A is set", table[5] & (A | D), A);
    *at(5 * 4096) = 0x1000 + 1018;
    check("D is set", table[5] & (A | D), A | D);
    check("4 MiB pages set A", directory[0] & A, A);
    table[0] = RAM | P;
    invlpg(BASE);
    EXPECT_ERROR("read-only #PF(3)", PF, 3, *at(0) = 1);
    WRITE_CR(0, READ_CR(0) & ~0x10000);
    EXPECT("WP clear", NO_TRAP, *at(0) = 0x1000);
    WRITE_CR(0, READ_CR(0) | 0x10000);
    table[0] = 0;
    invlpg(BASE);
    EXPECT_ERROR("not present #PF(0)", PF, 0, (void)*at(0));
    check("CR2", trap.cr2, BASE);
    directory[257] = RAM | P | W | PS;
    check("4 MiB page", *at((4 << 20) + 9 * 4096), 0x1009);
    directory[257] = (RAM + 0x400000) | P | W | PS;
    *(volatile u32 *)(RAM + 0x400000) = 0x77;
    invlpg(BASE + (4 << 20));
    check("4 MiB page moved", *at(4 << 20), 0x77);
    directory[258] = 0;
    EXPECT_ERROR("no directory entry, write #PF(2)", PF, 2, *at(8 << 20) = 1);
    WRITE_CR(0, READ_CR(0) & ~0x80000000);
    WRITE_CR(4, READ_CR(4) & ~0x10);
}

static void check_pae(void)
{
    set_mode("pae");
    for (u32 i = 0; i < 512; i++) {
        pae_directory[i] = (u64)i << 21 | P | W | PS;
        pae_table[i] = (RAM + (511 - i) * 4096) | P | W;
    }
    high_directory[0] = (u32)pae_table | P | W;
    high_directory[1] = RAM | P | W | PS;
    pdpt[0] = (u32)pae_directory | P;
    pdpt[1] = (u32)high_directory | P;
    WRITE_CR(4, READ_CR(4) | 0x20);
    WRITE_CR(3, pdpt);
    wrmsr(0xC0000080, rdmsr(0xC0000080) | 0x800);
    WRITE_CR(0, READ_CR(0) | 0x80010000);
    u32 got = 0, want = 0;
    for (u32 i = 0; i < 512 && got == want; i++) {
        got = *at(i * 4096);
        want = 0x1000 + 511 - i;
    }
    check("512 pages in reverse", got, want);
    check("2 MiB page", *at((2 << 20) + 3 * 4096), 0x1003);
    *at(2 << 20) = 0x1000;
    check("2 MiB page: A and D", high_directory[1] & (A | D), A | D);
    EXPECT_ERROR("no PDPTE #PF(0)", PF, 0, (void)*(volatile u32 *)0xC0000000);
    pae_table[0] = RAM | P | W | 1ull << 63;
    invlpg(BASE);
    EXPECT_ERROR("NX #PF(11)", PF, 0x11, ((code *)at(0))());
    tcg_lacks = 1;
    pae_table[0] = RAM | P | W | 1ull << 55;
    invlpg(BASE);
    EXPECT_ERROR("reserved bit #PF(9)", PF, 9, (void)*at(0));
    tcg_lacks = 0;
    pae_table[0] = RAM | P | W;
    invlpg(BASE);
    pdpt[1] = 0;
    tcg_lacks = 1;
    EXPECT("PDPTEs are registers", NO_TRAP, (void)*at(0));
    tcg_lacks = 0;
    WRITE_CR(3, pdpt);
    EXPECT_ERROR("until CR3 is loaded #PF(0)", PF, 0, (void)*at(0));
    pdpt[1] = (u32)high_directory | P | 1 << 5;
    tcg_lacks = 1;
    EXPECT_ERROR("reserved bit in a PDPTE #GP(0)", GP, 0, WRITE_CR(3, pdpt));
    tcg_lacks = 0;
    pdpt[1] = 0;
    WRITE_CR(3, pdpt);
    WRITE_CR(0, READ_CR(0) & ~0x80000000);
    WRITE_CR(4, READ_CR(4) & ~0x20);
}

void main32(void)
{
    uart_init();
    print("Amber paging\n");
    idt32_init();
    number_frames();
    check_two_level();
    check_pae();
}
