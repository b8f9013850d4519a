/* Requests of 16-bit code, by the port pair and by the NOP: run in real mode and in virtual-8086 mode. */
#include "check.h"
#include "amber.h"

#define VERSION_PORT 0xE5

/* As 8086 code asks: AX has nothing but the operation, and the result is 16 bits. */
static short by_port(u8 operation, const char *name, u16 length, u16 *argument)
{
    u16 result = 0x5A00 | operation;
    asm volatile("outb %%al, $0xE4" : "+a"(result), "+d"(*argument) : "S"(name), "c"(length) : "memory");
    return result;
}

static int by_nop(u32 operation, const char *name, u32 length, u32 *argument)
{
    u32 result = 0x414D4200 | operation;
    asm volatile(".byte 0x67, 0x0f, 0x1f, 0x80, 0x41, 0x4d, 0x42, 0x52"
                 : "+a"(result), "+d"(*argument) : "D"(name), "S"(length) : "memory");
    return result;
}

static void refusals(void)
{
    u16 argument = 0;
    u32 wide = 0;
    check("version by port", inb(VERSION_PORT), 1);
    check("probe by port", by_port(AMBER_PROBE, 0, 0, &argument), 1);
    check("unknown operation by port", (u16)by_port(0x77, "a", 1, &argument), (u16)AMBER_OPERATION);
    check("no name by port", (u16)by_port(AMBER_RESTORE, "a", 0, &argument), (u16)AMBER_NAME);
    check("long name by port", (u16)by_port(AMBER_RESTORE, "a", 101, &argument), (u16)AMBER_NAME);
    check("probe by nop", by_nop(AMBER_PROBE, 0, 0, &wide), 1);
    check("unknown operation by nop", (u32)by_nop(0x77, "a", 1, &wide), (u32)AMBER_OPERATION);
}

/* A checkpoint by one way, and back to it by the other. */
static void there_and_back(void)
{
    u16 argument = 0;
    short times = by_port(AMBER_CHECKPOINT, "legacy-port", 11, &argument);
    if (times == 0) {
        u32 passed = 0x1234;
        by_nop(AMBER_RESTORE, "legacy-port", 11, &passed);
    }
    check("checkpoint by port, restore by nop: times", times, 1);
    check("argument", argument, 0x1234);
    u32 wide = 0;
    int again = by_nop(AMBER_CHECKPOINT, "legacy-nop", 10, &wide);
    if (again < 2) {
        u16 passed = 0x4321 + again;
        by_port(AMBER_RESTORE, "legacy-nop", 10, &passed);
    }
    check("checkpoint by nop, restore by port: times", again, 2);
    check("argument", wide, 0x4322);
    check("forget by port", by_port(AMBER_FORGET, "legacy-port", 11, &argument), 0);
    check("forgotten", (u16)by_port(AMBER_RESTORE, "legacy-port", 11, &argument), (u16)AMBER_UNKNOWN);
    check("forget by nop", by_nop(AMBER_FORGET, "legacy-nop", 10, &wide), 0);
}

void legacy_checks(void)
{
    u16 argument = 0;
    refusals();
    if (by_port(AMBER_RESTORE, "nothing", 7, &argument) == AMBER_DENIED) {
        skip("checkpoints", "the host denies them");
        return;
    }
    there_and_back();
}
