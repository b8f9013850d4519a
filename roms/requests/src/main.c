/* Requests to the machine: what is refused, and a search that goes back to checkpoints of itself. */
#include "chipset.h"
#include "idt64.h"
#include "amber.h"

#define QUEENS 8
#define SOLUTIONS 92

static u8 column[QUEENS];

static long long ask(u32 operation, const char *name, u64 *argument)
{
    u64 length = 0;
    while (name[length])
        length++;
    unsigned long long passed = argument ? *argument : 0;
    long long result = amber_request(operation, name, length, &passed);
    if (argument)
        *argument = passed;
    return result;
}

static u32 safe(u32 row, u32 at)
{
    for (u32 r = 0; r < row; r++)
        if (column[r] == at || column[r] + row == at + r || column[r] + r == at + row)
            return 0;
    return 1;
}

/* Back to the checkpoint of a row, to go on at column `next`. Only the argument survives. */
static void back(u32 row, u64 found, u32 next)
{
    char name[] = "row0";
    name[3] += row;
    u64 argument = found << 8 | next;
    check("restore returns only to say no", ask(AMBER_RESTORE, name, &argument), 0);
    finish();
}

/* Places queens row by row. Nothing is ever taken back by the program: the machine goes back. */
static void search(void)
{
    u64 found = 0;
    for (u32 row = 0;; row++) {
        if (row == QUEENS)
            back(row - 1, found + 1, column[row - 1] + 1);
        char name[] = "row0";
        name[3] += row;
        u64 argument = found << 8;
        long long times = ask(AMBER_CHECKPOINT, name, &argument);
        if (times < 0)
            check("checkpoint", times, 0);
        found = argument >> 8;
        u32 at = argument & 0xFF;
        while (at < QUEENS && !safe(row, at))
            at++;
        if (at < QUEENS) {
            column[row] = at;
        } else if (row) {
            back(row - 1, found, column[row - 1] + 1);
        } else {
            check("solutions of eight queens", found, SOLUTIONS);
            check("times the first row came back", times, QUEENS);
            return;
        }
    }
}

static void refusals(void)
{
    u32 id[4];
    cpuid(0x40000001, 0, id);
    check("CPUID names the displacement", id[0], 0x52424D41);
    check("unknown operation", (u64)amber_request(0x77, "a", 1, 0), (u64)AMBER_OPERATION);
    check("no name", (u64)amber_request(AMBER_RESTORE, "a", 0, 0), (u64)AMBER_NAME);
    check("name not mapped", (u64)amber_request(AMBER_RESTORE, (const char *)0x7FFFFFF000, 4, 0), (u64)AMBER_MEMORY);
}

void main64(void)
{
    idt64_init();
    long long version = amber_request(AMBER_PROBE, 0, 0, 0);
    if (version == AMBER_ABSENT) {
        skip("requests", "this is not Amber");
        finish();
    }
    check("version", version, 1);
    refusals();
    long long unknown = ask(AMBER_RESTORE, "nothing", 0);
    if (unknown == AMBER_DENIED) {
        skip("checkpoints", "the host denies them");
        finish();
    }
    check("nothing to restore", (u64)unknown, (u64)AMBER_UNKNOWN);
    search();
    check("forget", (u64)ask(AMBER_FORGET, "row3", 0), 0);
    check("forgotten", (u64)ask(AMBER_RESTORE, "row3", 0), (u64)AMBER_UNKNOWN);
    u64 argument = 0;
    long long came = ask(AMBER_EXPORT, "exported", &argument);
    if (came == 0)
        print("exported\n");
    else {
        print("came back ");
        print_dec(came);
        print(" with ");
        print_hex(argument);
        print("\n");
    }
    finish();
}
