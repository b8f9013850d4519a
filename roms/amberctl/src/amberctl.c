/* amberctl: asks Amber for a checkpoint, a way back, a fork or an export, from a shell in a Linux guest. Static, without a
   C library. Prints "RESULT ARGUMENT"; exits with 0 if RESULT is 0 or more. */
#include "amber.h"

typedef unsigned long long u64;

static long call3(long number, long a, long b, long c)
{
    long result;
    asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static void write_out(int file, const char *text, unsigned long length)
{
    call3(1, file, (long)text, (long)length);
}

static unsigned long length_of(const char *text)
{
    unsigned long n = 0;
    while (text[n])
        n++;
    return n;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static char *decimal(char *end, u64 value)
{
    do
        *--end = '0' + value % 10;
    while (value /= 10);
    return end;
}

static const char usage[] =
    "amberctl probe | checkpoint NAME | restore NAME [ARGUMENT] | fork NAME | export NAME | forget NAME\n"
    "Prints the result and the argument of whoever came back. Results below 0: -1 denied, -2 no such operation,\n"
    "-3 name unreadable, -4 bad or taken name, -5 nothing of that name, -6 store, -7 limit, -1000 this is not Amber.\n";

static const char *const operations[] = {"probe", "checkpoint", "restore", "fork", "export", "forget"};

__attribute__((used)) static int run(long count, char **words)
{
    unsigned operation = 0;
    while (count > 1 && operation < 6 && !same(words[1], operations[operation]))
        operation++;
    if (count < 2 || operation == 6 || (operation != AMBER_PROBE && count < 3)) {
        write_out(2, usage, sizeof usage - 1);
        return 2;
    }
    const char *name = operation == AMBER_PROBE ? "" : words[2];
    u64 argument = 0;
    for (const char *digit = count > 3 ? words[3] : ""; *digit >= '0' && *digit <= '9'; digit++)
        argument = argument * 10 + (u64)(*digit - '0');
    long long result = amber_request(operation, name, length_of(name), &argument);
    char line[64], *end = line + sizeof line, *at = end;
    *--at = '\n';
    at = decimal(at, argument);
    *--at = ' ';
    at = decimal(at, result < 0 ? -(u64)result : (u64)result);
    if (result < 0)
        *--at = '-';
    write_out(1, at, (unsigned long)(end - at));
    return result < 0;
}

asm(".globl _start\n_start:\n\tmov (%rsp), %rdi\n\tlea 8(%rsp), %rsi\n\tand $-16, %rsp\n\tcall run\n\tmov %eax, %edi\n\tmov $60, %eax\n\tsyscall\n");
