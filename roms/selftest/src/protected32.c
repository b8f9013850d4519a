/* The 32-bit part: real mode, unreal mode, 16- and 32-bit protected mode, v86, PAE paging. */
#include "arith.h"
#include "basics.h"
#include "idt32.h"

typedef void code(void);
code real_checks, real_only_checks, unreal_checks;
code u_cli, u_hlt, u_cr0, u_lgdt, u_in, u_int40, u_int80, u_callgate, u_kdata, u_sysenter, u_rdmsr;
code v86_entry, v86_cli, v86_sti, v86_pushf, v86_popf, v86_int, v86_iret, v86_cr0, v86_out;
code gate_target, sysenter_target, task_entry, flags_entry;
void run_real(code *), run_unreal(code *), run_pm16(code *), run_v86(u32 ip, u32 flags), enter_user32(code *);
extern volatile u32 gate_record[8];
extern u32 real_privileged;
extern code *target16;
static struct tss32 tss2;

#define LOAD_DS(selector) asm volatile("movw %w0, %%fs" : : "r"(selector))
#define LOAD_SS(selector) asm volatile("movw %w0, %%ss" : : "r"(selector))
#define TEST(n) (TEST0 + 8 * (n))

static u32 peek_fs(u32 offset)
{
    u32 value;
    asm volatile("movl %%fs:(%1), %0" : "=r"(value) : "r"(offset));
    return value;
}

static void poke_fs(u32 offset)
{
    asm volatile("movl %0, %%fs:(%1)" : : "r"(1), "r"(offset) : "memory");
}

static void check_limits(void)
{
    gdt[TEST(0) / 8] = segment(0x100000, 0xFFF, 0x92, 4);
    gdt[TEST(1) / 8] = segment(0x100000, 0xFFF, 0x96, 4);
    gdt[TEST(2) / 8] = segment(0x100000, 0xFFF, 0x90, 4);
    gdt[TEST(3) / 8] = segment(0x100000, 1, 0x92, 0xC);
    tcg_lacks = 1;
    LOAD_DS(TEST(0));
    EXPECT("last dword in the limit", NO_TRAP, peek_fs(0xFFC));
    EXPECT_ERROR("dword across the limit #GP(0)", GP, 0, peek_fs(0xFFD));
    EXPECT_ERROR("dword that wraps #GP(0)", GP, 0, peek_fs(0xFFFFFFFE));
    LOAD_DS(TEST(1));
    EXPECT_ERROR("expand-down: inside is outside #GP(0)", GP, 0, peek_fs(0xFFC));
    EXPECT("expand-down: above the limit", NO_TRAP, peek_fs(0x1000));
    LOAD_DS(TEST(2));
    EXPECT_ERROR("write to read-only #GP(0)", GP, 0, poke_fs(0));
    LOAD_DS(TEST(3));
    EXPECT("granularity bit: 8 KiB", NO_TRAP, peek_fs(0x1FFC));
    EXPECT_ERROR("granularity bit: limit #GP(0)", GP, 0, peek_fs(0x1FFD));
    LOAD_DS(0);
    EXPECT_ERROR("null FS #GP(0)", GP, 0, peek_fs(0));
    check("accessed bit is set", gdt[TEST(0) / 8] >> 40 & 1, 1);
    gdt[TEST(4) / 8] = segment(0, 0xFFF, 0x92, 4);
    EXPECT_ERROR("stack limit #SS(0)", SS, 0,
                 asm volatile("movl %%esp, %%edx\n movw %w0, %%ss\n movl $0x1000, %%esp\n popl %%eax" : : "r"(TEST(4)) : "eax", "edx", "memory"));
    tcg_lacks = 0;
    LOAD_DS(KDATA);
}

static void check_loads(void)
{
    gdt[TEST(0) / 8] = segment(0, 0xFFFFF, 0x12, 0xC);
    gdt[TEST(1) / 8] = segment(0, 0xFFFFF, 0x98, 0xC);
    gdt[TEST(2) / 8] = segment(0, 0xFFFFF, 0x90, 0xC);
    gdt[TEST(3) / 8] = segment(0, 0xFFFFF, 0x1A, 0xC);
    EXPECT_ERROR("not-present data #NP(sel)", NP, TEST(0), LOAD_DS(TEST(0)));
    EXPECT_ERROR("not-present stack #SS(sel)", SS, TEST(0), LOAD_SS(TEST(0)));
    EXPECT_ERROR("execute-only as data #GP(sel)", GP, TEST(1), LOAD_DS(TEST(1)));
    EXPECT_ERROR("read-only as stack #GP(sel)", GP, TEST(2), LOAD_SS(TEST(2)));
    EXPECT_ERROR("null stack #GP(0)", GP, 0, LOAD_SS(0));
    EXPECT_ERROR("stack of another RPL #GP(sel)", GP, UDATA & ~3, LOAD_SS(UDATA));
    EXPECT_ERROR("beyond the GDT #GP(sel)", GP, 0x1000, LOAD_DS(0x1003));
    EXPECT_ERROR("no LDT #GP(sel)", GP, 0xC, LOAD_DS(0xC));
    EXPECT_ERROR("system segment as data #GP(sel)", GP, TSS_SEL, LOAD_DS(TSS_SEL));
    EXPECT_ERROR("jump to not-present code #NP(sel)", NP, TEST(3), asm volatile("ljmp %0, $0" : : "i"(TEST0 + 24)));
    EXPECT_ERROR("jump to data #GP(sel)", GP, KDATA, asm volatile("ljmp %0, $0" : : "i"(KDATA)));
    EXPECT_ERROR("jump to null #GP(0)", GP, 0, asm volatile("ljmp $0, $0"));
    EXPECT_ERROR("ltr of a busy TSS #GP(sel)", GP, TSS_SEL, asm volatile("ltr %w0" : : "r"(TSS_SEL)));
    idt32[0x41] &= ~(0x80ull << 40);
    EXPECT_ERROR("not-present gate #NP", NP, 0x41 * 8 + 2, asm volatile("int $0x41"));
    set_gate32(0x41, 0x8E);
    u32 value, flags;
    asm volatile("lsll %2, %0\n pushf\n pop %1" : "=r"(value), "=r"(flags) : "r"(TEST(2)));
    check("lsl", value, 0xFFFFFFFF);
    asm volatile("larl %2, %0\n pushf\n pop %1" : "=r"(value), "=r"(flags) : "r"(TEST(1)));
    check("lar", value & 0xF0FF00, 0xC09800);
    asm volatile("verr %w1\n pushf\n pop %0" : "=r"(flags) : "r"(TEST(1)));
    check("verr of execute-only", flags & FLAG_ZF, 0);
    asm volatile("verw %w1\n pushf\n pop %0" : "=r"(flags) : "r"(KDATA));
    check("verw of data", flags & FLAG_ZF, FLAG_ZF);
    asm volatile("arpl %w2, %w0\n pushf\n pop %1" : "=r"(value), "=r"(flags) : "r"(3), "0"(0x10));
    check("arpl", value | (flags & FLAG_ZF) << 16, 0x13 | FLAG_ZF << 16);
}

static void check_gates(void)
{
    idt32[0x42] = gate(KCODE32, (u32)flags_entry, 0x8E, 0);
    idt32[0x43] = gate(KCODE32, (u32)flags_entry, 0x8F, 0);
    outb(0x21, 0xFF);
    outb(0xA1, 0xFF);
    asm volatile("sti\n int $0x42\n cli");
    check("interrupt gate clears IF", gate_record[0] & FLAG_IF, 0);
    asm volatile("sti\n int $0x43\n cli");
    check("trap gate keeps IF", gate_record[0] & FLAG_IF, FLAG_IF);
    set_gate32(0x80, 0xEE);
    EXPECT("int 80h from ring 3", 0x80, enter_user32(u_int80));
    check("CS of ring 3 is saved", trap.cs, UCODE32);
    EXPECT_ERROR("gate privilege #GP(vector)", GP, 0x40 * 8 + 2, enter_user32(u_int40));
    EXPECT_ERROR("cli in ring 3 #GP(0)", GP, 0, enter_user32(u_cli));
    EXPECT_ERROR("hlt in ring 3 #GP(0)", GP, 0, enter_user32(u_hlt));
    EXPECT_ERROR("mov cr0 in ring 3 #GP(0)", GP, 0, enter_user32(u_cr0));
    EXPECT_ERROR("lgdt in ring 3 #GP(0)", GP, 0, enter_user32(u_lgdt));
    EXPECT_ERROR("rdmsr in ring 3 #GP(0)", GP, 0, enter_user32(u_rdmsr));
    EXPECT_ERROR("ring 0 data in ring 3 #GP(sel)", GP, KDATA, enter_user32(u_kdata));
    EXPECT("I/O allowed by the bitmap", 0x80, enter_user32(u_in));
    tss.io[0x80 / 8] = 1;
    EXPECT_ERROR("I/O denied by the bitmap #GP(0)", GP, 0, enter_user32(u_in));
    tss.io[0x80 / 8] = 0;
    gdt[TEST(8) / 8] = gate(KCODE32, (u32)gate_target, 0xEC, 2);
    EXPECT("call gate from ring 3", 0x80, enter_user32(u_callgate));
    check("call gate: CPL 0 and its stack", gate_record[0], KCODE32 | KDATA << 16);
    check("call gate copies parameters", gate_record[1] | gate_record[2] << 16, 0x11112222);
    check("call gate saves ESP", gate_record[3], gate_record[4]);
    check("lret n releases both stacks", gate_record[5], gate_record[4] + 8);
    gdt[TEST(8) / 8] &= ~(0x60ull << 40);
    EXPECT_ERROR("call gate privilege #GP(sel)", GP, TEST(8), enter_user32(u_callgate));
}

static void check_sysenter(void)
{
    u32 id[4];
    cpuid(1, 0, id);
    if (!(id[3] >> 11 & 1)) {
        skip("sysenter", "no SEP");
        return;
    }
    wrmsr(0x174, 0);
    EXPECT_ERROR("sysenter without CS #GP(0)", GP, 0, enter_user32(u_sysenter));
    wrmsr(0x174, KCODE32);
    wrmsr(0x175, INT_STACK - 256);
    wrmsr(0x176, (u32)sysenter_target);
    EXPECT("sysenter and sysexit", 0x80, enter_user32(u_sysenter));
    check("sysenter selectors", gate_record[0], KCODE32 | KDATA << 16);
    check("sysenter stack", gate_record[3], INT_STACK - 256);
    check("sysexit selectors", gate_record[1] & 0xFFFF, UCODE32);
}

static void check_tasks(void)
{
    u32 flags;
    tss2 = (struct tss32){ .eip = (u32)task_entry, .eflags = 2, .esp = IST_STACK, .ss = KDATA, .ds = KDATA, .es = KDATA,
                           .fs = KDATA, .gs = KDATA, .cs = KCODE32, .io_map = 104 };
    gdt[TSS2 / 8] = segment((u32)&tss2, 103, 0x89, 0);
    idt32[0x44] = gate(TSS2, 0, 0x85, 0);
    gate_record[1] = 0;
    asm volatile("int $0x44" : : : "memory");
    check("task gate runs the task", gate_record[1], 1);
    check("NT is set in the task", gate_record[0] & FLAG_NT, FLAG_NT);
    check("backlink names the old task", tss2.link & 0xFFFF, TSS_SEL);
    check("the task is available again", gdt[TSS2 / 8] >> 40 & 0xF, 9);
    check("CR0.TS is set by the switch", READ_CR(0) & 8, 8);
    asm volatile("clts");
    asm volatile("movl $0x1234, %%ecx\n stc\n int $0x44\n pushf\n pop %0" : "=r"(flags) : : "ecx", "memory");
    check("registers and flags come back", flags & FLAG_CF, FLAG_CF);
    check("the task went on where it stopped", gate_record[1], 2);
    asm volatile("clts");
    tss2.eip = (u32)task_entry;
    asm volatile("lcall %0, $0" : : "i"(TSS2) : "memory");
    check("call to a TSS", gate_record[1], 3);
    asm volatile("clts");
}

/* #GP through a gate that is not there: #NP while delivering #GP is a double fault (SDM vol. 3A, table 6-5). */
static void check_double_fault(void)
{
    idt32[GP] &= ~(0x80ull << 40);
    EXPECT_ERROR("#NP in #GP is #DF(0)", DF, 0, LOAD_DS(0x1000));
    set_gate32(GP, 0x8E);
    EXPECT_ERROR("#GP works again", GP, 0x1000, LOAD_DS(0x1000));
}

#define V86_FLAGS (FLAG_VM | 2)
#define V86_IOPL3 (FLAG_VM | 0x3000 | 2)

static void v86_sensitive(const char *name, code *ip)
{
    trap.vector = NO_TRAP;
    run_v86((u32)ip, V86_FLAGS);
    check(name, trap.vector << 32 | trap.error, (u64)GP << 32);
}

static void check_v86(void)
{
    set_mode("v86");
    v86_reflects = 0;
    v86_sensitive("cli at IOPL 0 #GP(0)", v86_cli);
    v86_sensitive("sti at IOPL 0 #GP(0)", v86_sti);
    v86_sensitive("pushf at IOPL 0 #GP(0)", v86_pushf);
    v86_sensitive("popf at IOPL 0 #GP(0)", v86_popf);
    v86_sensitive("int n at IOPL 0 #GP(0)", v86_int);
    v86_sensitive("iret at IOPL 0 #GP(0)", v86_iret);
    v86_sensitive("mov cr0 #GP(0)", v86_cr0);
    check("VM is set in the saved flags", trap.flags & FLAG_VM, FLAG_VM);
    tss.io[0x80 / 8] = 1;
    v86_sensitive("out denied by the bitmap #GP(0)", v86_out);
    tss.io[0x80 / 8] = 0;
    for (int i = 0; i < 256; i++)
        set_gate32(i, 0xEE);
    v86_reflects = 1;
    real_privileged = 0;
    target16 = real_checks;
    run_v86((u32)v86_entry, V86_IOPL3);
    check("int 7Fh leaves v86", trap.vector, 0x7F);
    for (int i = 0; i < 256; i++)
        set_gate32(i, 0x8E);
    load_idt32();
}

/* PAE: 2 MiB identity map of 1 GiB, and one 4 KiB page with its own table. */
static u64 pdpt[4] __attribute__((aligned(32)));
static u64 directory[512] __attribute__((aligned(4096))), table[512] __attribute__((aligned(4096)));

static void check_pae(void)
{
    set_mode("pae");
    for (u32 i = 0; i < 512; i++)
        directory[i] = (u64)i << 21 | 0x83;
    directory[8] = (u32)table | 7;
    table[0] = 0x300000 | 7;
    pdpt[0] = (u32)directory | 1;
    WRITE_CR(4, READ_CR(4) | 0x20);
    WRITE_CR(3, pdpt);
    wrmsr(0xC0000080, rdmsr(0xC0000080) | 0x800);
    WRITE_CR(0, READ_CR(0) | 0x80010000);
    volatile u32 *page = (u32 *)0x1000000;
    EXPECT_ERROR("page not present #PF(0)", PF, 0, (void)page[1024]);
    check("CR2", trap.cr2, 0x1001000);
    EXPECT_ERROR("write to a page not present #PF(2)", PF, 2, page[1025] = 1);
    page[0] = 0x77;
    check("mapping reaches its frame", *(volatile u32 *)0x300000, 0x77);
    check("A and D are set", table[0] & 0x60, 0x60);
    table[0] = 0x300000 | 5;
    invlpg((u32)page);
    EXPECT_ERROR("WP in ring 0 #PF(3)", PF, 3, page[0] = 1);
    table[0] = 0x8000000000300007;
    invlpg((u32)page);
    EXPECT_ERROR("NX #PF(11)", PF, 0x11, ((code *)page)());
    set_mode("pm32 pae");
    check_basics(1);
    WRITE_CR(0, READ_CR(0) & ~0x80000000);
    WRITE_CR(4, READ_CR(4) & ~0x20);
}

void compat_checks(void)
{
    set_mode("compat");
    check_integer();
    check_basics(0);
}

void main32(void)
{
    uart_init();
    print("Amber selftest\n");
    WRITE_CR(0, (READ_CR(0) & ~0x6000000C) | 0x22);
    WRITE_CR(4, 0x600);
    idt32_init();
    set_mode("real");
    run_real(real_checks);
    run_real(real_only_checks);
    set_mode("unreal");
    run_unreal(unreal_checks);
    load_idt32();
    set_mode("pm16");
    run_pm16(real_checks);
    set_mode("pm32");
    check_integer();
    check_basics(1);
    check_limits();
    check_loads();
    check_gates();
    check_sysenter();
    check_tasks();
    check_double_fault();
    check_v86();
    check_pae();
}
