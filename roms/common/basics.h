/* Strings, traps, breakpoints, self-modifying code, x87 and SSE: the same in every mode. */
#ifndef BASICS_H
#define BASICS_H
#include "check.h"

static u8 text_a[32], text_b[32];

static void fill(void)
{
    for (int i = 0; i < 32; i++) {
        text_a[i] = i + 1;
        text_b[i] = 0;
    }
}

static void check_rep_move(void)
{
    fill();
    word count = 7;
    u8 *from = text_a, *to = text_b;
    asm volatile("cld; rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    check("rep movsb", text_b[6] | text_b[7] << 8 | count << 16, 7);
    check("rep movsb pointers", (from - text_a) << 8 | (to - text_b), 0x707);
    count = 3;
    from = text_a + 12;
    to = text_b + 24;
    asm volatile("std; rep movsl; cld" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    check("rep movsl backwards", text_b[16] | text_b[24] << 8 | text_b[15] << 16, 0x0D05);
    check("backward pointers", (from - text_a) << 8 | (to - text_b), 0x000C);
    fill();
    count = 8;
    from = text_a;
    to = text_a + 1;
    asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    check("rep movsb repeats a byte over an overlap", text_a[8] | text_a[9] << 8, 0x0A01);
    count = 0;
    asm volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    check("rep with count 0", count, 0);
}

static void check_strings(void)
{
    check_rep_move();
    fill();
    word count = 5, flags;
    u8 *from = text_a, *to = text_b;
    asm volatile("rep stosw" : "+D"(to), "+c"(count) : "a"(0xBEEF) : "memory");
    check("rep stosw", text_b[9] | text_b[10] << 8 | (to - text_b) << 16, 0xA00BE);
    count = 20;
    to = text_a;
    asm volatile("repne scasb; pushf; pop %2" : "+D"(to), "+c"(count), "=r"(flags) : "a"(9) : "cc", "memory");
    check("repne scasb stops on the match", (to - text_a) << 8 | count | (flags & FLAG_ZF) << 16, 0x40090B);
    for (int i = 0; i < 8; i++)
        text_b[i] = i + 1;
    text_b[5] = 0xFF;
    count = 20;
    to = text_b;
    asm volatile("repe cmpsb; pushf; pop %3" : "+S"(from), "+D"(to), "+c"(count), "=r"(flags) : : "cc", "memory");
    check("repe cmpsb stops on the difference", (from - text_a) << 8 | count | (flags & FLAG_ZF) << 16, 0x060E);
    check("cmpsb compares source with destination", flags & FLAG_CF, FLAG_CF);
    u32 value;
    from = text_a + 4;
    asm volatile("lodsl" : "=a"(value), "+S"(from) : : "memory");
    check("lodsl", value, 0x08070605);
}

#ifdef __x86_64__
#define STORE_AT(label, where) "movq $" label ", " where "\n"
#else
#define STORE_AT(label, where) "movl $" label ", " where "\n"
#endif
#define SET_TF "pushf\n pop %%" REG_A "\n orl $0x100, %%eax\n push %%" REG_A "\n"
#ifdef __x86_64__
#define REG_A "rax"
#else
#define REG_A "eax"
#endif

static void check_traps(void)
{
    EXPECT("ud2 #UD", UD, asm volatile(MARK "ud2"));
    check("#UD saves the instruction", trap.ip, fault_ip);
    EXPECT("lock on a register #UD", UD, asm volatile(".byte 0xF0, 0x01, 0xC0"));
    EXPECT("lock on a load #UD", UD, asm volatile(".byte 0xF0, 0x03, 0x07" : : "D"(text_a)));
    EXPECT("int3 #BP", BP, asm volatile(STORE_AT("8f", "fault_ip") "int3\n 8: nop"));
    check("#BP is a trap", trap.ip, fault_ip);
    EXPECT("int 0x55", 0x55, asm volatile("int $0x55"));
#ifndef __x86_64__
    EXPECT("into #OF", OF, asm volatile("movb $0x7F, %%al; incb %%al; into" : : : "eax"));
    EXPECT("into without OF", NO_TRAP, asm volatile("xorl %%eax, %%eax; into" : : : "eax"));
    static s32 bounds[2] = { -5, 10 };
    EXPECT("bound inside", NO_TRAP, asm volatile("boundl %0, %1" : : "r"(-5), "m"(bounds)));
    EXPECT("bound above #BR", BR, asm volatile("boundl %0, %1" : : "r"(11), "m"(bounds)));
    EXPECT("bound below #BR", BR, asm volatile("boundl %0, %1" : : "r"(-6), "m"(bounds)));
#endif
}

static void check_single_step(void)
{
    EXPECT("TF #DB", DB, asm volatile(STORE_AT("8f", "fault_ip") SET_TF "popf\n nop\n 8: nop\n nop" : : : "eax", "cc"));
    check("TF traps behind the next instruction", trap.ip, fault_ip);
}

/* MOV SS holds back the trap of its own instruction; the next one's comes (SDM vol. 3A, 6.8.3). */
static void check_mov_ss(void)
{
    EXPECT("TF over mov ss #DB", DB,
           asm volatile(STORE_AT("8f", "fault_ip") "movw %%ss, %%dx\n" SET_TF
                        "popf\n movw %%dx, %%ss\n nop\n 8: nop\n nop" : : : "eax", "edx", "cc"));
    check("mov ss delays the trap", trap.ip, fault_ip);
}

static void check_breakpoints(void)
{
    static volatile u32 watched;
    WRITE_DR(6, 0);
    EXPECT("DR0 execution #DB", DB,
           asm volatile(STORE_AT("8f", "fault_ip")
                        "movl $8f, %%eax\n mov %%" REG_A ", %%dr0\n movl $0x401, %%eax\n mov %%" REG_A ", %%dr7\n"
                        "jmp 8f\n 8: nop\n nop" : : : "eax"));
    WRITE_DR(7, 0x400);
    check("execution breakpoint is a fault", trap.ip, fault_ip);
    check("DR6.B0", READ_DR(6) & 0xE00F, 1);
    WRITE_DR(6, 0);
    WRITE_DR(1, &watched);
    WRITE_DR(7, 0x400 | 4 | 0xD << 20);
    EXPECT("DR1 write #DB", DB, asm volatile("movl $5, %0" : "=m"(watched)));
    check("data breakpoint is a trap", watched, 5);
    check("DR6.B1", READ_DR(6) & 0xE00F, 2);
    WRITE_DR(6, 0);
    EXPECT("DR1 write-only ignores reads", NO_TRAP, (void)watched);
    WRITE_DR(7, 0x400 | 4 | 0xF << 20);
    EXPECT("DR1 read/write #DB", DB, (void)watched);
    WRITE_DR(7, 0x400);
    WRITE_DR(6, 0);
    check_single_step();
    check("DR6.BS", READ_DR(6) & 0xE00F, 0x4000);
    WRITE_DR(6, 0);
    WRITE_DR(7, 0x400 | 0x2000);
    tcg_lacks = 1;
    EXPECT("DR7.GD #DB", DB, (void)READ_DR(0));
    check("DR6.BD", READ_DR(6) & 0x2000, 0x2000);
    tcg_lacks = 0;
    WRITE_DR(6, 0);
    WRITE_DR(7, 0x400);
}

static void check_self_modification(void)
{
    u32 got = 0, sum = 0;
    asm volatile("movb $0x2A, 1f + 1\n 1: movb $0, %%al\n movzbl %%al, %0\n movb $0, 1b + 1" : "=r"(got) : : "eax", "memory");
    check("the next instruction is changed", got, 0x2A);
    for (u32 i = 0; i < 50; i++) {
        asm volatile("movb %b1, 1f + 1\n 1: movb $0, %%al\n movzbl %%al, %%eax\n addl %%eax, %0"
                     : "+r"(sum) : "q"(i) : "eax", "memory");
    }
    check("a loop rewrites itself", sum, 1225);
    asm volatile("movl $3, %%ecx\n 2: movb $0x40, 3f\n 3: .byte 0x90\n decl %%ecx\n jnz 2b\n movb $0x90, 3b" : : : "ecx", "eax", "memory");
    check("an instruction becomes another", 1, 1);
}

static void check_x87(void)
{
    static u16 control = 0x37F, status;
    static u8 ten[10];
    static u32 integer;
    asm volatile("fninit; fldcw %0" : : "m"(control));
    asm volatile("fld1; fld1; faddp; fistpl %0" : "=m"(integer));
    check("x87 1+1", integer, 2);
    asm volatile("fld1; fld1; faddp; fsqrt; fstpt %0" : "=m"(ten));
    check("fsqrt(2) mantissa", *(u64 *)ten, 0xB504F333F9DE6484);
    check("fsqrt(2) exponent", *(u16 *)(ten + 8), 0x3FFF);
    integer = 3;
    asm volatile("fld1; fidivl %1; fstpt %0" : "=m"(ten) : "m"(integer));
    check("1/3 rounds to nearest", *(u64 *)ten, 0xAAAAAAAAAAAAAAAB);
    control = 0xF7F;
    asm volatile("fldcw %2; fld1; fidivl %1; fstpt %0; fninit" : "=m"(ten) : "m"(integer), "m"(control));
    check("1/3 rounds to zero", *(u64 *)ten, 0xAAAAAAAAAAAAAAAA);
    control = 0x37F;
    asm volatile("fldz; fld1; fdiv %%st(1), %%st; fnstsw %0; fninit" : "=m"(status));
    check("1/0 sets ZE", status & 0x3F, 4);
    asm volatile("fldz; fld1; fcomip %%st(1), %%st; fstp %%st(0); pushf; pop %0" : "=r"(*(word *)&ten) : : "cc");
    check("fcomi 1 > 0", *(word *)ten & (FLAG_ZF | FLAG_PF | FLAG_CF), 0);
    asm volatile("fninit; fldz; fldz; fldz; fldz; fldz; fldz; fldz; fldz; fldz; fnstsw %0; fninit" : "=m"(status));
    tcg_lacks = 1;
    check("x87 stack overflow", status & 0x241, 0x241);
    tcg_lacks = 0;
}

static void check_sse(void)
{
    static float four[4] __attribute__((aligned(16))) = { 1, 2, 3, 4 };
    static u32 out[4] __attribute__((aligned(16)));
    static const u64 two = 0x4000000000000000;
    static u64 root;
    static u32 mxcsr;
    u32 integer;
    asm volatile("movaps %1, %%xmm0; addps %%xmm0, %%xmm0; movaps %%xmm0, %0" : "=m"(out) : "m"(four));
    check("addps", (u64)out[3] << 32 | out[0], 0x4100000040000000);
    asm volatile("sqrtsd %1, %%xmm1; movsd %%xmm1, %0" : "=m"(root) : "m"(two));
    check("sqrtsd(2)", root, 0x3FF6A09E667F3BCD);
    asm volatile("cvttsd2si %1, %0" : "=r"(integer) : "m"(root));
    check("cvttsd2si", integer, 1);
    asm volatile("pcmpeqd %%xmm2, %%xmm2; psrld $31, %%xmm2; paddd %%xmm2, %%xmm2; movdqa %%xmm2, %0" : "=m"(out));
    check("SSE2 integers", out[0] | out[3] << 8, 0x202);
    mxcsr = 0x1F80;
    asm volatile("ldmxcsr %0; xorps %%xmm3, %%xmm3; movss %1, %%xmm4; divss %%xmm3, %%xmm4; stmxcsr %0"
                 : "+m"(mxcsr) : "m"(four[0]));
    check("divss by zero sets ZE", mxcsr & 0x3F, 4);
    EXPECT("movaps unaligned #GP", GP, asm volatile("movaps %0, %%xmm0" : : "m"(*((u8 *)out + 4))));
    mxcsr = 0x1F80;
    asm volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static void check_tsc(void)
{
    u64 last = rdtsc(), first = last;
    u32 back = 0;
    for (int i = 0; i < 200; i++) {
        u64 now = rdtsc();
        back += now < last;
        last = now;
    }
    check("rdtsc never goes back", back, 0);
    check("rdtsc advances", last > first, 1);
}

static void check_basics(int privileged)
{
    check_strings();
    check_traps();
    if (privileged)
        check_breakpoints();
    else
        check_single_step();
    check_mov_ss();
    check_self_modification();
    check_x87();
    check_sse();
    check_tsc();
}

#endif
