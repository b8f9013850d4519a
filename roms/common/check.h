/* Printing and checking: one line per check, a sum at the end, the verdict at isa-debug-exit. */
#ifndef CHECK_H
#define CHECK_H
#include "types.h"

/* Shared by the units of an image, whatever mode they are built for; see shared.c. */
struct resume { u64 armed, ip, sp, bp, bx, si, di, r12, r13, r14, r15, cs, ss; };
struct trap { u64 vector, error, ip, cs, flags, cr2, count; };
extern volatile struct resume resume;
extern volatile struct trap trap;
extern u32 checks, failures, skips;
extern char mode[16];
extern u64 fault_ip;
/* Set around checks of what QEMU's TCG is known not to do; there, a difference is reported but does not count. */
extern u8 tcg_lacks;
/* For people at a terminal: CR before LF, and only failures printed. */
extern u8 crlf, quiet;

#define COM1 0x3F8

static void put_char(char c)
{
    while (!(inb(COM1 + 5) & 0x20))
        asm volatile("pause");
    if (c == '\n' && crlf) {
        outb(COM1, '\r');
        while (!(inb(COM1 + 5) & 0x20))
            asm volatile("pause");
    }
    outb(COM1, c);
    outb(0xE9, c);
}

static void print(const char *text)
{
    for (; *text; text++)
        put_char(*text);
}

static void print_hex(u64 value)
{
    int digit = 60;
    while (digit > 0 && !(value >> digit))
        digit -= 4;
    for (; digit >= 0; digit -= 4)
        put_char("0123456789abcdef"[(value >> digit) & 15]);
}

static void print_dec(u32 value)
{
    char digits[10];
    int n = 0;
    do
        digits[n++] = '0' + value % 10;
    while (value /= 10);
    while (n)
        put_char(digits[--n]);
}

static void uart_init(void)
{
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x83);
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x03);
    outb(COM1 + 2, 0x07);
    outb(COM1 + 4, 0x0B);
}

static void set_mode(const char *name)
{
    int i = 0;
    for (; name[i] && i < 15; i++)
        mode[i] = name[i];
    mode[i] = 0;
}

static void print_name(const char *verdict, const char *name)
{
    print(verdict);
    if (mode[0]) {
        print(mode);
        put_char('/');
    }
    print(name);
}

static void skip(const char *name, const char *why)
{
    skips++;
    if (quiet)
        return;
    print_name("skip ", name);
    print(": ");
    print(why);
    print("\n");
}

static int is_tcg(void)
{
    u32 id[4];
    cpuid(0x40000000, 0, id);
    return id[1] == 0x54474354 && id[2] == 0x43544743;
}

static void check(const char *name, u64 got, u64 want)
{
    if (got != want && tcg_lacks && is_tcg()) {
        skip(name, "QEMU TCG does not do this");
        return;
    }
    checks++;
    if (quiet && got == want)
        return;
    print_name(got == want ? "ok " : "FAIL ", name);
    if (got != want) {
        failures++;
        print(" got ");
        print_hex(got);
        print(" want ");
        print_hex(want);
    }
    print("\n");
}

/* The last line, and the end of the run: 0x10 means pass (exit status 33). */
static void __attribute__((noreturn)) finish(void)
{
    if (failures) {
        print("FAIL ");
        print_dec(failures);
        print(" of ");
    } else {
        print("PASS ");
    }
    print_dec(checks);
    print(" checks\n");
    outb(0xF4, failures ? 1 : 0x10);
    for (;;)
        asm volatile("cli; hlt");
}

/* TRY(statement) runs the statement; an exception in it ends it and is found in `trap`. */
#if defined(REAL_UNIT)
#define TRAP_ARM trap_arm16
#elif defined(__x86_64__)
#define TRAP_ARM trap_arm64
#else
#define TRAP_ARM trap_arm32
#endif
int TRAP_ARM(void) __attribute__((returns_twice));

#define NO_TRAP 0xFFFF
#define TRY(...)                                  \
    do {                                          \
        trap.vector = NO_TRAP;                    \
        trap.error = 0;                           \
        if (!TRAP_ARM()) {                        \
            __VA_ARGS__;                          \
        }                                         \
        asm volatile("" : : : "memory");          \
        resume.armed = 0;                         \
    } while (0)

/* Stores the address of the next instruction, for comparison with the saved one. */
#ifdef __x86_64__
#define MARK "movq $9f, fault_ip\n9: "
#else
#define MARK "movl $9f, fault_ip\n9: "
#endif

#define EXPECT(name, vec, ...)                    \
    do {                                          \
        TRY(__VA_ARGS__);                         \
        check(name, trap.vector, vec);            \
    } while (0)

/* Vector and error code in one number: vector << 32 | code. */
#define EXPECT_ERROR(name, vec, code, ...)                                             \
    do {                                                                               \
        TRY(__VA_ARGS__);                                                              \
        check(name, trap.vector << 32 | trap.error, (u64)(vec) << 32 | (u64)(code));   \
    } while (0)

#endif
