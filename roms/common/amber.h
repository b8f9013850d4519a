/* Requests of software in the guest to Amber: checkpoints of the whole machine, and ways back. See docs/requests.md.
   Stands alone: copy it into any x86-64 program. Elsewhere than on Amber every call returns AMBER_ABSENT. */
#ifndef AMBER_H
#define AMBER_H

enum { AMBER_PROBE, AMBER_CHECKPOINT, AMBER_RESTORE, AMBER_FORK, AMBER_EXPORT, AMBER_FORGET };
enum {
    AMBER_DENIED = -1, AMBER_OPERATION = -2, AMBER_MEMORY = -3, AMBER_NAME = -4, AMBER_UNKNOWN = -5, AMBER_STORE = -6,
    AMBER_LIMIT = -7, AMBER_ABSENT = -1000
};

/* Returns 0 or more, or one of the errors. A checkpoint returns 0 when it is made and, each time somebody comes back to it,
   how many did, with their argument in *argument. */
static inline long long amber_request(unsigned operation, const char *name, unsigned long length,
                                      unsigned long long *argument)
{
    long long call = 0x414D4200 | operation, result = call;
    unsigned long long passed = argument ? *argument : 0;
    asm volatile(".byte 0x0f, 0x1f, 0x80, 0x41, 0x4d, 0x42, 0x52" /* nop [rax + "AMBR"] */
                 : "+a"(result), "+d"(passed) : "D"(name), "S"(length) : "memory", "cc");
    if (argument)
        *argument = passed;
    return result == call ? AMBER_ABSENT : result;
}
#endif
