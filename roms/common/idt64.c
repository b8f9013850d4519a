/* Interrupt descriptor table and dispatch in 64-bit mode. */
#include "idt64.h"

struct gate64 idt64[256] __attribute__((aligned(16)));
static struct tss64 tss64;
void (*volatile on_vector[256])(struct frame64 *);

static void dispatch64(struct frame64 *frame)
{
    if (on_vector[frame->vector]) {
        on_vector[frame->vector](frame);
        return;
    }
    trap.vector = frame->vector;
    trap.error = frame->error;
    trap.ip = frame->rip;
    trap.cs = frame->cs;
    trap.flags = frame->rflags;
    trap.cr2 = READ_CR(2);
    if (resume.armed) {
        resume.armed = 0;
        resume64();
    }
    print_name("FAIL ", "unexpected exception ");
    print_hex(frame->vector);
    print(" error ");
    print_hex(frame->error);
    print(" rip ");
    print_hex(frame->rip);
    print(" cr2 ");
    print_hex(trap.cr2);
    print("\n");
    failures++;
    finish();
}

void set_gate64(u8 vector, void *entry, u8 type, u8 ist)
{
    u64 offset = (u64)entry;
    idt64[vector] = (struct gate64){ offset, KCODE64, ist, type, offset >> 16, offset >> 32, 0 };
}

void load_idt64(void)
{
    struct table_pointer pointer = { sizeof idt64 - 1, (u64)idt64 };
    asm volatile("lidt %0" : : "m"(pointer));
}

void idt64_init(void)
{
    trap64_entry = (u64)dispatch64;
    for (int i = 0; i < 256; i++)
        set_gate64(i, stubs64 + 16 * i, 0x8E, 0);
    load_idt64();
    tss64.rsp[0] = INT_STACK;
    tss64.ist[0] = IST_STACK;
    tss64.io_map = sizeof tss64;
    u64 base = (u64)&tss64;
    gdt[TSS_SEL / 8] = (sizeof tss64 - 1) | (base & 0xFFFFFF) << 16 | 0x89ull << 40 | (base >> 24 & 0xFF) << 56;
    gdt[TSS_SEL / 8 + 1] = base >> 32;
    asm volatile("ltr %w0" : : "r"(TSS_SEL));
}
