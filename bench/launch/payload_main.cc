// The program that is launched: it ends at once, so that what is measured is the launcher and not a C library's loading.
#include <asm/unistd.h>

#include "init/sys/kernel/raw.h"

asm(".globl _start\n_start:\n  xorl %ebp, %ebp\n  andq $-16, %rsp\n  call payload_entry\n  hlt\n");

extern "C" [[noreturn]] void payload_entry() {
  for (;;) steppe::kernel::raw::syscall(__NR_exit_group, 0);
}
