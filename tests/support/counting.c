// A task that can be counted: it prints numbered lines until it is told to end, and its last line says how many there were.
// Static, one write per line, no child processes.
//
//   counting-service NAME CODE PACE_MS PAD LINGER_MS
//
// First "start NAME MS", then "line 0", "line 1", ... every PACE_MS, each filled up to PAD bytes, then "end N MS" and exit
// with CODE. It ends when $NOMAD_ALLOC_DIR/end appears, or LINGER_MS after SIGINT or SIGTERM ("stopping MS"). When
// $NOMAD_ALLOC_DIR/burst.K appears (K = 0, 1, ...) it prints six megabytes of lines at once. MS is unix time.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t asked_to_stop;
static char line[4096];
static char path[4096];

static void on_stop(int number) {
  (void)number;
  asked_to_stop = 1;
}

static void say(const char* text, size_t size) {
  while (size > 0) {
    ssize_t n = write(1, text, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(99);
    text += n;
    size -= (size_t)n;
  }
}

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void pause_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR && !asked_to_stop) {
  }
}

static int exists(const char* directory, const char* format, unsigned long number) {
  int at = snprintf(path, sizeof path, "%s/", directory);
  snprintf(path + at, sizeof path - (size_t)at, format, number);
  return access(path, F_OK) == 0;
}

static size_t numbered_line(unsigned long number, size_t pad) {
  size_t size = (size_t)snprintf(line, sizeof line, "line %lu ", number);
  if (pad > sizeof line) pad = sizeof line;
  while (size + 1 < pad) {
    line[size] = (char)('a' + (number + size) % 26);
    ++size;
  }
  line[size++] = '\n';
  return size;
}

int main(int argc, char** argv) {
  const char* directory = getenv("NOMAD_ALLOC_DIR");
  if (argc != 6 || directory == NULL) return 98;
  const int code = atoi(argv[2]);
  const long pace = atol(argv[3]), linger = atol(argv[5]);
  const size_t pad = (size_t)atol(argv[4]);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_stop;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  unsigned long number = 0, bursts = 0;
  say(line, (size_t)snprintf(line, sizeof line, "start %s %lld\n", argv[1], now_ms()));
  while (!asked_to_stop && !exists(directory, "end", 0)) {
    say(line, numbered_line(number++, pad));
    if (exists(directory, "burst.%lu", bursts)) {
      ++bursts;
      for (size_t sent = 0; sent < 6u << 20;) {
        size_t size = numbered_line(number++, 1024);
        say(line, size);
        sent += size;
      }
    }
    pause_ms(pace);
  }
  if (asked_to_stop) {
    say(line, (size_t)snprintf(line, sizeof line, "stopping %lld\n", now_ms()));
    asked_to_stop = 0;
    struct timespec left = {linger / 1000, linger % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
  }
  say(line, (size_t)snprintf(line, sizeof line, "end %lu %lld\n", number, now_ms()));
  return code;
}
