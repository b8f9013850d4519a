/* The keyboard controller, polled. */
#ifndef PS2_H
#define PS2_H
#include "chipset.h"

#define NOTHING 0x100u

static void controller(u8 command)
{
    while (inb(0x64) & 2)
        asm volatile("pause");
    outb(0x64, command);
}

static void controller_data(u8 value)
{
    while (inb(0x64) & 2)
        asm volatile("pause");
    outb(0x60, value);
}

/* The next byte of keyboard or mouse within so many us; bit 9 is set if it is the mouse's. */
static u32 receive(u32 us)
{
    u32 start = pm_timer(), ticks = (u64)us * PM_TIMER_HZ / 1000000;
    for (;;) {
        u8 status = inb(0x64);
        if (status & 1)
            return inb(0x60) | (status & 0x20 ? 0x200 : 0);
        if (us && ((pm_timer() - start) & 0xFFFFFF) > ticks)
            return NOTHING;
        asm volatile("pause");
    }
}

static u32 keyboard(u8 value)
{
    controller_data(value);
    return receive(100000);
}

static u32 mouse(u8 value)
{
    controller(0xD4);
    controller_data(value);
    return receive(100000) & ~0x200u;
}

#endif
