/* Descriptors, interrupt dispatch and the v86 monitor of 32-bit protected mode. */
#ifndef IDT32_H
#define IDT32_H
#include "check.h"

struct frame32 {
    u32 es, ds, edi, esi, ebp, esp0, ebx, edx, ecx, eax, vector, error, eip, cs, eflags, esp, ss, v_es, v_ds, v_fs, v_gs;
};
struct tss32 {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs,
        gs, ldt;
    u16 debug, io_map;
    u8 io[8193];
};

extern char stubs32[], stubs16[];
extern u64 trap32_entry;
extern u64 gdt[], gdtr, idtr_real;
void resume32(void) __attribute__((noreturn));
/* Only images that enter v86 have it. */
void v86_leave(void) __attribute__((noreturn, weak));

static u64 idt32[256] __attribute__((aligned(8)));
static struct tss32 tss;
static int v86_reflects;

static u64 segment(u32 base, u32 limit, u8 access, u8 flags)
{
    return (limit & 0xFFFF) | (u64)(base & 0xFFFFFF) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 15) << 48
        | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static u64 gate(u16 selector, u32 offset, u8 access, u8 count)
{
    return (offset & 0xFFFF) | (u64)selector << 16 | (u64)count << 32 | (u64)access << 40 | (u64)(offset >> 16) << 48;
}

static void set_gate32(u8 vector, u8 access)
{
    idt32[vector] = gate(KCODE32, (u32)stubs32 + 16 * vector, access, 0);
}

static void load_idt32(void)
{
    struct table_pointer pointer = { sizeof idt32 - 1, (u32)idt32 };
    asm volatile("lidt %0" : : "m"(pointer));
}

/* Hands an interrupt of v86 code to its own vectors, as the CPU would in real mode. */
static void reflect(struct frame32 *frame)
{
    u16 *stack = (u16 *)(frame->esp -= 6);
    u16 *vector = (u16 *)(4 * frame->vector);
    stack[2] = frame->eflags;
    stack[1] = frame->cs;
    stack[0] = frame->eip;
    frame->eip = vector[0];
    frame->cs = vector[1];
    frame->eflags &= ~(FLAG_TF | FLAG_IF);
}

static void dispatch32(struct frame32 *frame)
{
    if (frame->eflags & FLAG_VM && frame->vector != 0x7F && v86_reflects) {
        reflect(frame);
        return;
    }
    trap.vector = frame->vector;
    trap.error = frame->error;
    trap.ip = frame->eip;
    trap.cs = frame->cs;
    trap.flags = frame->eflags;
    trap.cr2 = READ_CR(2);
    if (frame->eflags & FLAG_VM)
        v86_leave();
    if (resume.armed) {
        resume.armed = 0;
        resume32();
    }
    print_name("FAIL ", "unexpected exception ");
    print_hex(frame->vector);
    print(" error ");
    print_hex(frame->error);
    print(" eip ");
    print_hex(frame->eip);
    print("\n");
    failures++;
    finish();
}

static void idt32_init(void)
{
    trap32_entry = (u32)dispatch32;
    for (int i = 0; i < 256; i++) {
        set_gate32(i, 0x8E);
        ((u32 *)0)[i] = (u32)stubs16 + 8 * i;
    }
    load_idt32();
    tss.esp0 = INT_STACK;
    tss.ss0 = KDATA;
    tss.io_map = (u8 *)tss.io - (u8 *)&tss;
    tss.io[8192] = 0xFF;
    gdt[TSS_SEL / 8] = segment((u32)&tss, sizeof tss - 1, 0x89, 0);
    asm volatile("ltr %w0" : : "r"(TSS_SEL));
}

#endif
