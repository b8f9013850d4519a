/* Everything that 16-bit code checks: run in real mode, in 16-bit protected mode and in virtual-8086 mode. */
#include "arith.h"
#include "basics.h"

u32 real_privileged = 1;

void real_checks(void)
{
    check_integer();
    check_basics(real_privileged);
}

/* Real-mode addresses and what only real mode has. */
void real_only_checks(void)
{
    u32 value;
    trap.count = 0;
    asm volatile("int $0x60\n int $0x61" : : : "memory");
    check("int n goes through the vectors", trap.count, 2);
    asm volatile("movw $0x1234, %%ax\n movw %%ax, %%fs\n movw %%fs, %w0" : "=r"(value) : "0"(0) : "eax");
    check("segment registers take any value", value, 0x1234);
    asm volatile("movw $0x20, %%ax\n movw %%ax, %%fs\n movw $0x5AA5, %%fs:0x10\n movw 0x210, %w0\n xorw %%ax, %%ax\n movw %%ax, %%fs"
                 : "=r"(value) : "0"(0) : "eax", "memory");
    check("segment * 16 + offset", value, 0x5AA5);
    tcg_lacks = 1;
    EXPECT("64K limit #GP", GP, asm volatile("movl $0x10000, %%ebx\n addr32 movb (%%ebx), %%al" : : : "eax", "ebx"));
    EXPECT("word at FFFF #GP", GP, asm volatile("movw $0xFFFF, %%bx\n movw (%%bx), %%ax" : : : "eax", "ebx"));
    EXPECT("word at SS:FFFF #SS", SS, asm volatile("movw $0xFFFF, %%bx\n movw %%ss:(%%bx), %%ax" : : : "eax", "ebx"));
    tcg_lacks = 0;
    asm volatile("smsw %w0" : "=r"(value) : "0"(0));
    check("PE is clear", value & 1, 0);
    asm volatile("movw $0xFFFF, %%ax\n movw %%ax, %%fs\n movb $0x77, %%fs:0x510\n movw $0, %%ax\n movw %%ax, %%fs" : : : "eax", "memory");
    check("FFFF:0510 is linear 100500h", 1, 1);
    EXPECT("lldt in real mode #UD", UD, asm volatile("lldt %%ax" : : "a"(0)));
}

/* After a visit to protected mode left a 4 GiB limit in FS. */
void unreal_checks(void)
{
    u32 value;
    asm volatile("movl $0x100500, %%ebx\n addr32 movzbl %%fs:(%%ebx), %0" : "=r"(value) : : "ebx");
    check("FS reaches above 1 MiB", value, 0x77);
    asm volatile("movl $0x200000, %%ebx\n addr32 movl $0xCAFE, %%fs:(%%ebx)\n addr32 movl %%fs:(%%ebx), %0"
                 : "=r"(value) : : "ebx", "memory");
    check("FS writes above 1 MiB", value, 0xCAFE);
    asm volatile("movw $0, %%ax\n movw %%ax, %%fs\n movl $0x200000, %%ebx\n addr32 movl %%fs:(%%ebx), %0"
                 : "=r"(value) : : "eax", "ebx");
    check("a segment load keeps the limit", value, 0xCAFE);
}
