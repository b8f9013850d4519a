/* Interrupt descriptor table and dispatch in 64-bit mode. */
#ifndef IDT64_H
#define IDT64_H
#include "check.h"

struct frame64 {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error, rip, cs, rflags, rsp, ss;
};
struct gate64 { u16 offset0, selector; u8 ist, type; u16 offset1; u32 offset2, zero; };
struct __attribute__((packed)) tss64 { u32 zero; u64 rsp[3], zero1, ist[7], zero2; u16 zero3, io_map; };

extern char stubs64[];
extern u64 trap64_entry, gdt[];
void resume64(void) __attribute__((noreturn));

static struct gate64 idt64[256] __attribute__((aligned(16)));
static struct tss64 tss64;
static void (*volatile on_vector[256])(struct frame64 *);

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

static void set_gate64(u8 vector, void *entry, u8 type, u8 ist)
{
    u64 offset = (u64)entry;
    idt64[vector] = (struct gate64){ offset, KCODE64, ist, type, offset >> 16, offset >> 32, 0 };
}

static void load_idt64(void)
{
    struct table_pointer pointer = { sizeof idt64 - 1, (u64)idt64 };
    asm volatile("lidt %0" : : "m"(pointer));
}

static void idt64_init(void)
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

#endif
