#include "bench/report/priority.h"

#include <sched.h>
#include <time.h>

namespace steppe::bench {

bool run_ahead() {
  sched_param priority = {50};
  return ::sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
}

void run_ordinarily() {
  sched_param none = {0};
  ::sched_setscheduler(0, SCHED_OTHER, &none);
}

void breathe() {
  timespec pause = {0, 20'000'000};
  ::nanosleep(&pause, nullptr);
}

}  // namespace steppe::bench
