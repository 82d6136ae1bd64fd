#include "init/upgrade/version.h"

namespace steppe::upgrade {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool known(char c) { return digit(c) || letter(c) || c == '.' || c == '~' || c == '^' || c == '-'; }
char first(std::string_view text) { return text.empty() ? '\0' : text.front(); }

std::string_view take(std::string_view& text, bool (*wanted)(char)) {
  size_t length = 0;
  while (length < text.size() && wanted(text[length])) length++;
  std::string_view run = text.substr(0, length);
  text.remove_prefix(length);
  return run;
}

// Who has the mark alone sorts first; when both have it, it is passed over.
std::weak_ordering pass_mark(std::string_view& a, std::string_view& b, char mark) {
  bool in_a = first(a) == mark, in_b = first(b) == mark;
  if (in_a != in_b) return in_b <=> in_a;
  if (in_a) {
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  return std::weak_ordering::equivalent;
}

std::weak_ordering compare_numbers(std::string_view a, std::string_view b) {
  if (a.empty() != b.empty()) return b.empty() <=> a.empty();  // no number is less than 0
  while (first(a) == '0') a.remove_prefix(1);
  while (first(b) == '0') b.remove_prefix(1);
  if (a.size() != b.size()) return a.size() <=> b.size();
  return a.compare(b) <=> 0;
}

}  // namespace

std::weak_ordering compare_versions(std::string_view a, std::string_view b) {
  for (;;) {
    while (!a.empty() && !known(a.front())) a.remove_prefix(1);
    while (!b.empty() && !known(b.front())) b.remove_prefix(1);
    // In this order, each once, as the loader does it: what stands after a mark that both have is looked at with the marks
    // that are left. (The specification would begin again; the two differ only for marks in a row.)
    if (auto order = pass_mark(a, b, '~'); order != 0) return order;
    if (a.empty() || b.empty()) return !a.empty() <=> !b.empty();
    for (char mark : {'-', '^', '.'})
      if (auto order = pass_mark(a, b, mark); order != 0) return order;
    bool numbers = digit(first(a)) || digit(first(b));
    std::string_view run_a = take(a, numbers ? digit : letter), run_b = take(b, numbers ? digit : letter);
    std::weak_ordering order = numbers ? compare_numbers(run_a, run_b) : run_a.compare(run_b) <=> 0;
    if (order != 0) return order;
  }
}

}  // namespace steppe::upgrade
