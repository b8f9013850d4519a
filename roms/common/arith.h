/* Integer arithmetic against a reference written in plain C: results and all defined flags. */
#ifndef ARITH_H
#define ARITH_H
#include "check.h"

#define ALL_FLAGS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
#define MASK(bits) ((bits) == 64 ? ~0ull : (1ull << ((bits) & 63)) - 1)

static const u64 samples[] = {
    0, 1, 2, 0x0F, 0x10, 0x7E, 0x7F, 0x80, 0x81, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000,
    0xFFFFFFFF, 0x123456789ABCDEF0, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF,
};
#define SAMPLES (sizeof samples / sizeof *samples)

struct outcome { u64 value; word flags; };

static u32 result_flags(u64 r, int bits)
{
    u8 low = r;
    low ^= low >> 4;
    low ^= low >> 2;
    low ^= low >> 1;
    return (low & 1 ? 0 : FLAG_PF) | ((r & MASK(bits)) ? 0 : FLAG_ZF) | ((r >> (bits - 1)) & 1 ? FLAG_SF : 0);
}

/* SDM vol. 1, 3.4.3.1: carry, adjust and overflow from the operands' and the result's bits. */
static struct outcome ref_add(u64 a, u64 b, u32 carry, int bits)
{
    u64 r = (a + b + carry) & MASK(bits);
    u32 flags = result_flags(r, bits) | ((a ^ b ^ r) & 0x10);
    flags |= (((a & b) | ((a | b) & ~r)) >> (bits - 1)) & 1;
    flags |= (((a ^ r) & (b ^ r)) >> (bits - 1)) & 1 ? FLAG_OF : 0;
    return (struct outcome){ r, flags };
}

static struct outcome ref_sub(u64 a, u64 b, u32 borrow, int bits)
{
    u64 r = (a - b - borrow) & MASK(bits);
    u32 flags = result_flags(r, bits) | ((a ^ b ^ r) & 0x10);
    flags |= (((~a & b) | ((~a | b) & r)) >> (bits - 1)) & 1;
    flags |= (((a ^ b) & (a ^ r)) >> (bits - 1)) & 1 ? FLAG_OF : 0;
    return (struct outcome){ r, flags };
}

enum kind { ADD, ADC, SUB, SBB, CMP, AND, OR, XOR, TEST, INC, DEC, NEG, NOT };

static struct outcome ref_op(enum kind kind, u64 a, u64 b, u32 carry, int bits)
{
    struct outcome r = { 0, 0 };
    switch (kind) {
    case ADD: return ref_add(a, b, 0, bits);
    case ADC: return ref_add(a, b, carry, bits);
    case SUB: return ref_sub(a, b, 0, bits);
    case SBB: return ref_sub(a, b, carry, bits);
    case CMP: r = ref_sub(a, b, 0, bits); r.value = a; return r;
    case INC: r = ref_add(a, 1, 0, bits); r.flags = (r.flags & ~FLAG_CF) | carry; return r;
    case DEC: r = ref_sub(a, 1, 0, bits); r.flags = (r.flags & ~FLAG_CF) | carry; return r;
    case NEG: return ref_sub(0, a, 0, bits);
    case NOT: return (struct outcome){ ~a & MASK(bits), carry };
    case AND: case TEST: r.value = a & b; break;
    case OR: r.value = a | b; break;
    case XOR: r.value = a ^ b; break;
    }
    r.flags = result_flags(r.value, bits);
    if (kind == TEST)
        r.value = a;
    return r;
}

#define OP2(insn, type)                                                                  \
    static struct outcome insn##_##type(u64 a, u64 b, word flags)                        \
    {                                                                                    \
        type x = a, y = b;                                                               \
        asm volatile("push %1\n popf\n " #insn " %2, %0\n pushf\n pop %1"                \
                     : "+q"(x), "+r"(flags) : "q"(y) : "cc");                            \
        return (struct outcome){ x, flags };                                             \
    }
#define OP1(insn, type)                                                                  \
    static struct outcome insn##_##type(u64 a, u64 b, word flags)                        \
    {                                                                                    \
        type x = a;                                                                      \
        (void)b;                                                                         \
        asm volatile("push %1\n popf\n " #insn " %0\n pushf\n pop %1"                    \
                     : "+q"(x), "+r"(flags) : : "cc");                                   \
        return (struct outcome){ x, flags };                                             \
    }
#ifdef __x86_64__
#define EACH_SIZE(def, insn) def(insn, u8) def(insn, u16) def(insn, u32) def(insn, u64)
#define ROWS(insn, kind) ROW(insn, u8, kind, 8), ROW(insn, u16, kind, 16), ROW(insn, u32, kind, 32), ROW(insn, u64, kind, 64)
#else
#define EACH_SIZE(def, insn) def(insn, u8) def(insn, u16) def(insn, u32)
#define ROWS(insn, kind) ROW(insn, u8, kind, 8), ROW(insn, u16, kind, 16), ROW(insn, u32, kind, 32)
#endif
EACH_SIZE(OP2, add) EACH_SIZE(OP2, adc) EACH_SIZE(OP2, sub) EACH_SIZE(OP2, sbb) EACH_SIZE(OP2, cmp)
EACH_SIZE(OP2, and) EACH_SIZE(OP2, or) EACH_SIZE(OP2, xor) EACH_SIZE(OP2, test)
EACH_SIZE(OP1, inc) EACH_SIZE(OP1, dec) EACH_SIZE(OP1, neg) EACH_SIZE(OP1, not)

struct row { const char *name; struct outcome (*run)(u64, u64, word); u8 kind, bits; };
#define ROW(insn, type, kind, bits) { #insn "-" #bits, insn##_##type, kind, bits }
static const struct row arith_rows[] = {
    ROWS(add, ADD), ROWS(adc, ADC), ROWS(sub, SUB), ROWS(sbb, SBB), ROWS(cmp, CMP), ROWS(and, AND), ROWS(or, OR),
    ROWS(xor, XOR), ROWS(test, TEST), ROWS(inc, INC), ROWS(dec, DEC), ROWS(neg, NEG), ROWS(not, NOT),
};

/* Result and flags in one number: wrong ones differ, right ones compare equal. */
static u64 digest(u64 value, word flags, u32 mask, int bits)
{
    return bits == 64 ? value ^ ((u64)(flags & mask) << 40) : value | (u64)(flags & mask) << 40;
}

static void check_row(const struct row *row)
{
    u32 mask = row->kind >= AND && row->kind <= TEST ? ALL_FLAGS & ~FLAG_AF : ALL_FLAGS;
    u64 got = 0, want = 0;
    if (row->kind == NOT)
        mask = ALL_FLAGS;
    for (u32 i = 0; i < SAMPLES * SAMPLES * 2 && got == want; i++) {
        u64 a = samples[i / 2 % SAMPLES] & MASK(row->bits), b = samples[i / 2 / SAMPLES] & MASK(row->bits);
        struct outcome r = row->run(a, b, 2 | (i & 1));
        struct outcome e = ref_op(row->kind, a, b, i & 1, row->bits);
        got = digest(r.value, r.flags, mask, row->bits);
        want = digest(e.value, e.flags, mask, row->bits);
    }
    check(row->name, got, want);
}

static void check_arith(void)
{
    for (u32 i = 0; i < sizeof arith_rows / sizeof *arith_rows; i++)
        check_row(&arith_rows[i]);
}

/* Shifts and rotates, one bit at a time. */
enum shift { ROL, ROR, RCL, RCR, SHL, SHR, SAR };
#define SHIFT(insn, type)                                                                \
    static struct outcome insn##_##type(u64 a, u64 count, word flags)                    \
    {                                                                                    \
        type x = a;                                                                      \
        asm volatile("push %1\n popf\n " #insn " %%cl, %0\n pushf\n pop %1"              \
                     : "+q"(x), "+r"(flags) : "c"((u8)count) : "cc");                    \
        return (struct outcome){ x, flags };                                             \
    }
EACH_SIZE(SHIFT, rol) EACH_SIZE(SHIFT, ror) EACH_SIZE(SHIFT, rcl) EACH_SIZE(SHIFT, rcr)
EACH_SIZE(SHIFT, shl) EACH_SIZE(SHIFT, shr) EACH_SIZE(SHIFT, sar)
static const struct row shift_rows[] = {
    ROWS(rol, ROL), ROWS(ror, ROR), ROWS(rcl, RCL), ROWS(rcr, RCR), ROWS(shl, SHL), ROWS(shr, SHR), ROWS(sar, SAR),
};

static u64 shift_once(enum shift kind, u64 x, u32 *carry, int bits)
{
    u64 top = 1ull << (bits - 1);
    u32 high = x & top ? 1 : 0, low = x & 1, in = *carry;
    switch (kind) {
    case ROL: *carry = high; return (x << 1 | high) & MASK(bits);
    case ROR: *carry = low; return x >> 1 | (low ? top : 0);
    case RCL: *carry = high; return (x << 1 | in) & MASK(bits);
    case RCR: *carry = low; return x >> 1 | (in ? top : 0);
    case SHL: *carry = high; return (x << 1) & MASK(bits);
    case SHR: *carry = low; return x >> 1;
    default: *carry = low; return x >> 1 | (x & top);
    }
}

/* Which flags the SDM defines after a shift by `count` (already masked). */
static u32 shift_mask(enum shift kind, u32 count, int bits)
{
    u32 mask = ALL_FLAGS;
    if (count == 0)
        return mask;
    if (count != 1)
        mask &= ~FLAG_OF;
    if (kind >= SHL)
        mask &= ~FLAG_AF;
    if ((kind == SHL || kind == SHR) && count >= (u32)bits)
        mask &= ~FLAG_CF;
    return mask;
}

static void check_shift_row(const struct row *row)
{
    u64 got = 0, want = 0;
    for (u32 i = 0; i < SAMPLES * 2 * 72 && got == want; i++) {
        u64 a = samples[i / 2 % SAMPLES] & MASK(row->bits), x = a;
        u32 count = (i / 2 / SAMPLES) & (row->bits == 64 ? 63 : 31), carry = i & 1;
        struct outcome r = row->run(a, i / 2 / SAMPLES, 2 | (i & 1));
        for (u32 n = 0; n < count; n++)
            x = shift_once(row->kind, x, &carry, row->bits);
        u32 flags = carry;
        if (count && row->kind >= SHL)
            flags |= result_flags(x, row->bits);
        if (count == 1 && (((a ^ x) >> (row->bits - 1)) & 1))
            flags |= FLAG_OF;
        u32 mask = shift_mask(row->kind, count, row->bits);
        got = digest(r.value, r.flags, mask, row->bits);
        want = digest(x, flags, mask, row->bits);
    }
    check(row->name, got, want);
}

static void check_shld(void)
{
    u32 got = 0, want = 0;
    for (u32 count = 0; count < 40 && got == want; count++) {
        u32 x = 0x12345678, y = 0x9ABCDEF0, n = count & 31;
        asm("shld %%cl, %1, %0" : "+r"(x) : "r"(y), "c"(count) : "cc");
        got = x;
        want = n ? 0x12345678u << n | y >> (32 - n) : 0x12345678;
    }
    check("shld-32", got, want);
    got = want = 0;
    for (u32 count = 0; count < 40 && got == want; count++) {
        u32 x = 0x12345678, y = 0x9ABCDEF0, n = count & 31;
        asm("shrd %%cl, %1, %0" : "+r"(x) : "r"(y), "c"(count) : "cc");
        got = x;
        want = n ? 0x12345678u >> n | y << (32 - n) : 0x12345678;
    }
    check("shrd-32", got, want);
}

static void check_shifts(void)
{
    for (u32 i = 0; i < sizeof shift_rows / sizeof *shift_rows; i++)
        check_shift_row(&shift_rows[i]);
    check_shld();
}

static void check_mul(void)
{
    u64 got = 0, want = 0;
    for (u32 i = 0; i < SAMPLES * SAMPLES && got == want; i++) {
        u32 a = samples[i % SAMPLES], b = samples[i / SAMPLES], low, high;
        word flags;
        asm("mull %4\n pushf\n pop %2" : "=a"(low), "=d"(high), "=r"(flags) : "0"(a), "r"(b) : "cc");
        u64 product = (u64)a * b;
        got = (low | (u64)high << 32) ^ (flags & 1) ^ (flags >> 11 & 1) << 1;
        want = product ^ (product >> 32 ? 3 : 0);
    }
    check("mul-32", got, want);
    got = want = 0;
    for (u32 i = 0; i < SAMPLES * SAMPLES && got == want; i++) {
        s32 a = samples[i % SAMPLES], b = samples[i / SAMPLES], two = a;
        u32 low, high;
        word flags;
        asm("imull %4\n pushf\n pop %2" : "=a"(low), "=d"(high), "=r"(flags) : "0"(a), "r"(b) : "cc");
        asm("imull %1, %0" : "+r"(two) : "r"(b) : "cc");
        s64 product = (s64)a * b;
        got = (low | (u64)high << 32) ^ (flags & 1) ^ ((u64)(u32)two << 16);
        want = (u64)product ^ (product != (s32)product) ^ ((u64)(u32)product << 16);
    }
    check("imul-32", got, want);
    u16 ax = 0xFFFF, dx;
    asm("mulw %2" : "+a"(ax), "=d"(dx) : "r"((u16)0xFFFE) : "cc");
    check("mul-16", ax | (u32)dx << 16, 0xFFFD0002);
    ax = 0x12F0;
    asm("imulb %1" : "+a"(ax) : "q"((u8)0x11) : "cc");
    check("imul-8", ax, 0xFEF0);
}

static void check_div(void)
{
    u32 q, r;
    asm("divl %4" : "=a"(q), "=d"(r) : "0"(0x89ABCDEF), "1"(0x1234567), "r"(0x87654321) : "cc");
    check("div-32 quotient", (u64)q * 0x87654321 + r, 0x123456789ABCDEF);
    asm("idivl %4" : "=a"(q), "=d"(r) : "0"(-7), "1"(-1), "r"(2) : "cc");
    check("idiv-32 truncates", (u64)q << 32 | r, 0xFFFFFFFDFFFFFFFFull);
    u16 ax = 0x1234;
    asm("divb %1" : "+a"(ax) : "q"((u8)0x56) : "cc");
    check("div-8", ax, 0x1036);
    EXPECT("div by zero #DE", DE, asm volatile(MARK "divl %0" : : "r"(0), "a"(1), "d"(0)));
    check("#DE saves the instruction", trap.ip, fault_ip);
    EXPECT("div overflow #DE", DE, asm volatile("divl %0" : : "r"(1), "a"(0), "d"(1)));
    EXPECT("idiv overflow #DE", DE, asm volatile("idivl %0" : : "r"(-1), "a"(0x80000000), "d"(-1)));
    EXPECT("div-8 overflow #DE", DE, asm volatile("divb %b0" : : "q"(1), "a"(0x100)));
    EXPECT("idiv-16 overflow #DE", DE, asm volatile("idivw %w0" : : "r"(1), "a"(0x8000), "d"(0)));
}

static void check_bits(void)
{
    u32 index;
    word flags;
    asm("bsfl %2, %0\n pushf\n pop %1" : "=r"(index), "=r"(flags) : "r"(0x00810000) : "cc");
    check("bsf", index | (flags & FLAG_ZF), 16);
    asm("bsrl %2, %0\n pushf\n pop %1" : "=r"(index), "=r"(flags) : "r"(0x00810000) : "cc");
    check("bsr", index | (flags & FLAG_ZF), 23);
    asm("bsfl %1, %%ecx\n pushf\n pop %0" : "=r"(flags) : "r"(0) : "cc", "ecx");
    check("bsf of zero sets ZF", flags & FLAG_ZF, FLAG_ZF);
    static u32 bits[4];
    bits[0] = bits[2] = 0;
    asm volatile("btsl %2, %1\n pushf\n pop %0" : "=&r"(flags), "+m"(bits) : "r"(67) : "cc");
    check("bts reaches beyond the operand", bits[2] | (flags & 1), 8);
    asm volatile("btrl %2, %1\n pushf\n pop %0" : "=&r"(flags), "+m"(bits) : "r"(67) : "cc");
    check("btr", bits[2] | (flags & 1), 1);
    asm volatile("btcl $33, %0" : "+m"(bits) : : "cc");
    check("btc with an immediate wraps", bits[0], 2);
    bits[0] = 0;
    u32 x = 0x12345678;
    asm("bswap %0" : "+r"(x));
    check("bswap", x, 0x78563412);
    u32 a = 5, d = 7;
    asm volatile("lock xaddl %0, %1" : "+r"(a), "+m"(bits[0]) : : "cc");
    check("xadd", (u64)a << 32 | bits[0], 5);
    asm volatile("lock cmpxchgl %3, %1\n pushf\n pop %2" : "+a"(a), "+m"(bits[0]), "=&r"(flags) : "r"(d) : "cc");
    check("cmpxchg loads on a difference", a | (flags & FLAG_ZF), 5);
    asm volatile("lock cmpxchgl %3, %1\n pushf\n pop %2" : "+a"(a), "+m"(bits[0]), "=&r"(flags) : "r"(d) : "cc");
    check("cmpxchg stores on equality", bits[0] | (flags & FLAG_ZF), 7 | FLAG_ZF);
    static u64 wide = 0x1122334455667788;
    u32 low = 0x55667788, high = 0x11223344;
    asm volatile("lock cmpxchg8b %2" : "+a"(low), "+d"(high), "+m"(wide) : "b"(1), "c"(2) : "cc");
    check("cmpxchg8b", wide, 0x200000001);
    wide = 0x1122334455667788;
    u8 set = 2;
    asm("cmpl %1, %2\n setb %0" : "=q"(set) : "r"(3), "r"(2) : "cc");
    check("setcc", set, 1);
    x = 1;
    asm("cmpl %1, %1\n cmovel %2, %0\n cmovnel %1, %0" : "+r"(x) : "r"(3), "r"(9) : "cc");
    check("cmovcc", x, 9);
}

#ifndef __x86_64__
#define BCD(insn, ax, in, out, outflags, mask)                                                      \
    do {                                                                                            \
        u16 a = ax;                                                                                 \
        word f = in | 2;                                                                            \
        asm volatile("push %1\n popf\n " insn "\n pushf\n pop %1" : "+a"(a), "+r"(f) : : "cc");     \
        check(insn, a | (f & (mask)) << 16, (out) | (u32)(outflags) << 16);                         \
    } while (0)

static void check_bcd(void)
{
    u32 both = FLAG_CF | FLAG_AF;
    BCD("daa", 0x00AE, 0, 0x0014, both, both);
    BCD("daa", 0x0042, FLAG_AF, 0x0048, FLAG_AF | FLAG_PF, both | FLAG_PF | FLAG_ZF | FLAG_SF);
    BCD("das", 0x00EE, both, 0x0088, both, both);
    BCD("das", 0x0005, FLAG_CF, 0x00A5, FLAG_CF, both);
    BCD("aaa", 0x000F, 0, 0x0105, both, both);
    BCD("aaa", 0x0005, FLAG_CF, 0x0005, 0, both);
    BCD("aas", 0x020F, 0, 0x0109, both, both);
    BCD("aam", 0x0049, 0, 0x0703, FLAG_PF, FLAG_PF | FLAG_ZF | FLAG_SF);
    BCD("aad", 0x0703, 0, 0x0049, 0, FLAG_PF | FLAG_ZF | FLAG_SF);
    EXPECT("aam 0 #DE", DE, asm volatile(".byte 0xD4, 0" : : "a"(5)));
}
#endif

static void check_integer(void)
{
    check_arith();
    check_shifts();
    check_mul();
    check_div();
    check_bits();
#ifndef __x86_64__
    check_bcd();
#endif
}

#endif
