// The example service: says who it is and what it was told, every second, until it is stopped. Static, no arguments.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void) {
  const char* alloc = getenv("NOMAD_ALLOC_ID");
  const char* word = getenv("HELLO_WORD");
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (unsigned long line = 1;; ++line) {
    printf("hello %s from allocation %s, line %lu\n", word ? word : "nobody", alloc ? alloc : "none", line);
    sleep(1);
  }
}
