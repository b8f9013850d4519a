/* The 64-bit part: long mode, compatibility mode, paging faults, SYSCALL, SYSENTER, IRETQ. */
#include "arith.h"
#include "basics.h"
#include "idt64.h"

typedef void code(void);
code compat_checks;
extern u8 us_start[], us_end[], us_int80[], us_hlt[], us_syscall[], us_sysenter[], us_kernel[], us_noncanonical[], us_nx[],
    us_align[], us_swapgs[], us_after_syscall[], syscall_target[], sysenter64_target[];
extern volatile u32 gate_record[8];
void run_compat(code *), enter_user64(u64 rip, u64 flags);

#define USER 0x40000000ull
#define AT(label) (USER + ((label) - us_start))
#define PTE_P 1
#define PTE_W 2
#define PTE_U 4
#define PTE_NX (1ull << 63)

static volatile u64 user_table[512] __attribute__((aligned(4096)));
static u64 *const pml4 = (u64 *)TABLES, *const pdpt = (u64 *)(TABLES + 0x1000), *const directory1 = (u64 *)(TABLES + 0x3000);

static void map(u32 page, u64 entry)
{
    user_table[page] = entry;
    invlpg(USER + page * 4096ull);
}

static void map_user(void)
{
    pml4[0] |= PTE_U;
    pdpt[1] |= PTE_U;
    directory1[0] = (u64)user_table | PTE_P | PTE_W | PTE_U;
    WRITE_CR(3, READ_CR(3));
    map(0, 0x300000 | PTE_P | PTE_W | PTE_U);
    map(1, 0x301000 | PTE_P | PTE_W | PTE_U | PTE_NX);
    for (u8 *from = us_start, *to = (u8 *)0x300000; from < us_end;)
        *to++ = *from++;
}

static void check_integer64(void)
{
    u64 low, high;
    asm("mulq %3" : "=a"(low), "=d"(high) : "0"(~0ull), "r"(~0ull) : "cc");
    check("mul-64", low ^ high, 1ull ^ 0xFFFFFFFFFFFFFFFE);
    asm("divq %4" : "=a"(low), "=d"(high) : "0"(0x123456789ABCDEF0), "1"(5ull), "r"(0x10ull << 32) : "cc");
    check("div-64 quotient", low, 0x51234567 | 0);
    check("div-64 remainder", high, 0x89ABCDEF0);
    EXPECT("div-64 overflow #DE", DE, asm volatile("divq %0" : : "r"(5ull), "a"(0), "d"(5ull)));
    static u64 pair[2] __attribute__((aligned(16))) = { 1, 2 };
    word flags;
    low = 1;
    high = 2;
    asm volatile("lock cmpxchg16b %3\n pushf\n pop %2" : "+a"(low), "+d"(high), "=&r"(flags), "+m"(pair) : "b"(3ull), "c"(4ull) : "cc");
    check("cmpxchg16b", pair[0] | pair[1] << 8 | (flags & FLAG_ZF) << 16, 0x403 | FLAG_ZF << 16);
    EXPECT("cmpxchg16b unaligned #GP", GP, asm volatile("cmpxchg16b %0" : : "m"(*((u64 *)pair + 1)), "a"(0), "b"(0), "c"(0), "d"(0)));
    asm("movq $-1, %%rax\n movl $5, %%eax\n movq %%rax, %0" : "=r"(low) : : "rax");
    check("32-bit results clear the high half", low, 5);
    asm("movq $-1, %%rax\n movw $5, %%ax\n movq %%rax, %0" : "=r"(low) : : "rax");
    check("16-bit results keep the rest", low, 0xFFFFFFFFFFFF0005);
    asm("movslq %1, %0" : "=r"(low) : "r"(0x80000000));
    check("movsxd", low, 0xFFFFFFFF80000000);
}

static void check_canonical(void)
{
    u64 *hole = (u64 *)0x0000800000000000;
    EXPECT_ERROR("non-canonical data #GP(0)", GP, 0, (void)*(volatile u64 *)hole);
    tcg_lacks = 1;
    EXPECT_ERROR("non-canonical stack #SS(0)", SS, 0, asm volatile("movq %%ss:(%%rbp, %0), %0" : : "r"((u64)hole)));
    tcg_lacks = 0;
    EXPECT_ERROR("non-canonical jump #GP(0)", GP, 0, asm volatile("jmp *%0" : : "r"(hole)));
    EXPECT("push es #UD", UD, asm volatile(".byte 0x06"));
    EXPECT("daa #UD", UD, asm volatile(".byte 0x27"));
    EXPECT("far call ptr16:32 #UD", UD, asm volatile(".byte 0x9A, 0, 0, 0, 0, 0, 0"));
    WRITE_CR(8, 5);
    check("CR8", READ_CR(8), 5);
    WRITE_CR(8, 0);
}

/* Values control registers refuse. QEMU TCG takes some of them and falls over. */
static void check_control_registers(void)
{
    if (is_tcg()) {
        skip("control registers", "QEMU TCG does not check them");
        return;
    }
    EXPECT_ERROR("non-canonical wrmsr #GP(0)", GP, 0, wrmsr(0xC0000101, 0x0000800000000000));
    EXPECT_ERROR("reserved CR4 bit #GP(0)", GP, 0, WRITE_CR(4, READ_CR(4) | 1ull << 40));
    EXPECT_ERROR("PG without PE #GP(0)", GP, 0, WRITE_CR(0, READ_CR(0) & ~1ull));
    EXPECT_ERROR("PAE off in long mode #GP(0)", GP, 0, WRITE_CR(4, READ_CR(4) & ~0x20ull));
    EXPECT_ERROR("EFER reserved bit #GP(0)", GP, 0, wrmsr(0xC0000080, rdmsr(0xC0000080) | 1ull << 40));
}

static void check_page_faults(void)
{
    volatile u32 *page = (u32 *)(USER + 0x2000);
    EXPECT_ERROR("not present read #PF(0)", PF, 0, (void)page[4]);
    check("CR2", trap.cr2, USER + 0x2010);
    EXPECT_ERROR("not present write #PF(2)", PF, 2, page[0] = 1);
    EXPECT_ERROR("not present fetch #PF(10)", PF, 0x10, ((code *)page)());
    map(2, 0x302000 | PTE_P);
    (void)page[0];
    check("A after a read", user_table[2] & 0x60, 0x20);
    EXPECT_ERROR("CR0.WP write #PF(3)", PF, 3, page[0] = 1);
    WRITE_CR(0, READ_CR(0) & ~0x10000ull);
    EXPECT("WP clear: ring 0 writes", NO_TRAP, page[0] = 1);
    WRITE_CR(0, READ_CR(0) | 0x10000);
    check("D after a write", user_table[2] & 0x60, 0x60);
    map(2, 0x302000 | PTE_P | PTE_W | PTE_NX);
    EXPECT_ERROR("NX fetch #PF(11)", PF, 0x11, ((code *)page)());
    map(2, 0x302000 | PTE_P | PTE_W | 1ull << 51);
    tcg_lacks = 1;
    EXPECT_ERROR("reserved bit #PF(9)", PF, 9, (void)page[0]);
    u64 entry = directory1[1];
    directory1[1] = entry | 1 << 13;
    invlpg(USER + 0x200000);
    EXPECT_ERROR("reserved bit in a 2M page #PF(9)", PF, 9, (void)*(volatile u32 *)(USER + 0x200000));
    directory1[1] = entry;
    invlpg(USER + 0x200000);
    tcg_lacks = 0;
    map(2, 0x302000 | PTE_P | PTE_W);
    map(3, 0);
    EXPECT_ERROR("write across pages #PF(2)", PF, 2, *(volatile u64 *)((u8 *)page + 0xFFC) = 1);
    check("CR2 names the second page", trap.cr2, USER + 0x3000);
    page[1023] = 7;
    EXPECT("string stops at the fault", PF, asm volatile("rep movsb" : : "S"((u8 *)page + 0xFF8), "D"(0x310000), "c"(16ull) : "memory"));
}

static void check_smep_smap(void)
{
    u32 id[4];
    cpuid(7, 0, id);
    map(4, 0x304000 | PTE_P | PTE_W | PTE_U);
    volatile u8 *page = (u8 *)(USER + 0x4000);
    *page = 0xC3;
    EXPECT("ring 0 runs a user page without SMEP", NO_TRAP, ((code *)page)());
    if (id[1] >> 7 & 1) {
        WRITE_CR(4, READ_CR(4) | 1 << 20);
        EXPECT_ERROR("SMEP #PF(11)", PF, 0x11, ((code *)page)());
        WRITE_CR(4, READ_CR(4) & ~(1ull << 20));
    } else {
        skip("SMEP", "not in CPUID");
    }
    if (id[1] >> 20 & 1) {
        WRITE_CR(4, READ_CR(4) | 1 << 21);
        EXPECT_ERROR("SMAP read #PF(1)", PF, 1, (void)*page);
        EXPECT_ERROR("SMAP write #PF(3)", PF, 3, *page = 1);
        EXPECT("stac opens", NO_TRAP, asm volatile("stac"); (void)*page; asm volatile("clac"));
        EXPECT_ERROR("clac closes #PF(1)", PF, 1, (void)*page);
        WRITE_CR(4, READ_CR(4) & ~(1ull << 21));
    } else {
        skip("SMAP", "not in CPUID");
    }
}

static void check_user(void)
{
    set_gate64(0x80, stubs64 + 16 * 0x80, 0xEE, 0);
    EXPECT("int 80h from ring 3", 0x80, enter_user64(AT(us_int80), 2));
    check("CS of ring 3 is saved", trap.cs, UCODE64);
    EXPECT_ERROR("hlt in ring 3 #GP(0)", GP, 0, enter_user64(AT(us_hlt), 2));
    EXPECT_ERROR("swapgs in ring 3 #GP(0)", GP, 0, enter_user64(AT(us_swapgs), 2));
    EXPECT_ERROR("ring 0 page from ring 3 #PF(5)", PF, 5, enter_user64(AT(us_kernel), 2));
    check("CR2", trap.cr2, 0x2000);
    EXPECT_ERROR("non-canonical in ring 3 #GP(0)", GP, 0, enter_user64(AT(us_noncanonical), 2));
    EXPECT_ERROR("NX page in ring 3 #PF(15)", PF, 0x15, enter_user64(AT(us_nx), 2));
    WRITE_CR(0, READ_CR(0) | 1 << 18);
    EXPECT("unaligned without AC", 0x80, enter_user64(AT(us_align), 2));
    tcg_lacks = 1;
    EXPECT_ERROR("unaligned with AC #AC(0)", AC, 0, enter_user64(AT(us_align), 1 << 18 | 2));
    tcg_lacks = 0;
    WRITE_CR(0, READ_CR(0) & ~(1ull << 18));
}

static void check_system_calls(void)
{
    wrmsr(0xC0000081, (u64)0x48 << 48 | (u64)KCODE64 << 32);
    wrmsr(0xC0000082, (u64)syscall_target);
    wrmsr(0xC0000084, FLAG_DF | FLAG_TF | FLAG_IF | FLAG_CF);
    EXPECT("syscall and sysret", 0x80, enter_user64(AT(us_syscall), 3));
    check("syscall selectors", gate_record[0], KCODE64 | (KCODE64 + 8) << 16);
    check("syscall saves RIP in RCX", gate_record[1], AT(us_after_syscall));
    check("syscall saves RFLAGS in R11", gate_record[2] & 0xFF, 3);
    check("SFMASK clears flags", gate_record[3] & FLAG_CF, 0);
    check("sysret selectors", trap.cs, UCODE64);
    wrmsr(0xC0000080, rdmsr(0xC0000080) & ~1ull);
    EXPECT("syscall without SCE #UD", UD, enter_user64(AT(us_syscall), 2));
    wrmsr(0xC0000080, rdmsr(0xC0000080) | 1);
    wrmsr(0xC0000101, 0x1111);
    wrmsr(0xC0000102, 0x2222);
    asm volatile("swapgs");
    check("swapgs", rdmsr(0xC0000101) << 16 | rdmsr(0xC0000102), 0x22221111);
}

static void check_sysenter64(void)
{
    u32 id[4];
    cpuid(0, 0, id);
    if (id[1] != 0x756E6547) {
        skip("sysenter", "only Intel has it in long mode");
        return;
    }
    wrmsr(0x174, KCODE64);
    wrmsr(0x175, INT_STACK - 512);
    wrmsr(0x176, (u64)sysenter64_target);
    EXPECT("sysenter and sysexit", 0x80, enter_user64(AT(us_sysenter), 2));
    check("sysenter stack", gate_record[1], INT_STACK - 512);
    check("sysexit selectors", trap.cs, UCODE64);
}

static volatile u64 seen_rsp;

static void note_stack(struct frame64 *frame)
{
    seen_rsp = (u64)frame;
    trap.ip = frame->ss;
}

static void check_delivery(void)
{
    on_vector[0x45] = note_stack;
    set_gate64(0x45, stubs64 + 16 * 0x45, 0x8E, 1);
    asm volatile("int $0x45" : : : "memory");
    check("IST switches the stack", seen_rsp <= IST_STACK && seen_rsp > IST_STACK - 512, 1);
    set_gate64(0x45, stubs64 + 16 * 0x45, 0x8E, 0);
    asm volatile("movq %%rsp, %%rbx\n subq $128, %%rsp\n orq $8, %%rsp\n int $0x45\n movq %%rbx, %%rsp" : : : "memory", "rbx");
    check("the frame is aligned to 16", seen_rsp & 15, 0);
    u64 type = idt64[GP].type;
    idt64[GP].type = 0x0E;
    set_gate64(DF, stubs64 + 16 * DF, 0x8E, 1);
    EXPECT_ERROR("#NP in #GP is #DF(0)", DF, 0, asm volatile("movw %w0, %%fs" : : "r"(0x1000)));
    idt64[GP].type = type;
    struct table_pointer good;
    asm volatile("sidt %0" : "=m"(good));
    check("sidt", good.base, (u64)idt64);
    EXPECT("iretq restores RSP and CS", NO_TRAP,
           asm volatile("movq %%rsp, %%rcx\n pushq %0\n pushq %%rcx\n pushfq\n pushq %1\n pushq $1f\n iretq\n 1:"
                        : : "i"(KDATA), "i"(KCODE64) : "rcx", "memory"));
    EXPECT_ERROR("iretq to a bad selector #GP(sel)", GP, 0x1000,
                 asm volatile("pushq $0x10\n pushq %%rsp\n pushfq\n pushq $0x1000\n pushq $1f\n iretq\n 1:" : : : "memory"));
}

void main64(void)
{
    idt64_init();
    set_mode("long");
    check_integer();
    check_integer64();
    check_basics(1);
    check_canonical();
    check_control_registers();
    map_user();
    check_page_faults();
    check_smep_smap();
    check_user();
    check_system_calls();
    check_sysenter64();
    check_delivery();
    run_compat(compat_checks);
    finish();
}
