/* Has 16-bit code ask, in real mode and in virtual-8086 mode. */
#include "idt32.h"

typedef void code(void);
code legacy_checks, v86_entry, v86_out;
void run_real(code *), run_v86(u32 ip, u32 flags);
extern code *target16;

#define V86_FLAGS (FLAG_VM | 2)

static void check_v86(void)
{
    set_mode("v86");
    target16 = legacy_checks;
    run_v86((u32)v86_entry, V86_FLAGS);
    check("came to its end: int at IOPL 0 #GP", trap.vector, GP);
    tss.io[0xE4 / 8] = 1 << 0xE4 % 8;
    trap.vector = NO_TRAP;
    run_v86((u32)v86_out, V86_FLAGS);
    tss.io[0xE4 / 8] = 0;
    check("port denied by the bitmap #GP(0)", trap.vector << 32 | trap.error, (u64)GP << 32);
    check("nothing was asked for", trap.ip, (u32)v86_out);
}

void main32(void)
{
    uart_init();
    if (inb(0xE5) == 0xFF)
        return;
    idt32_init();
    set_mode("real");
    run_real(legacy_checks);
    load_idt32();
    check_v86();
    set_mode("");
}
