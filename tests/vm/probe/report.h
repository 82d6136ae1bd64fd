#pragma once

#include <string>
#include <string_view>

// What a probe says on the console of its machine: "VM ok NAME", "VM bad NAME: WHY", "VM info WHAT", and "VM done" at the end.
namespace steppe::vm {

void ok(std::string_view name);
void bad(std::string_view name, std::string_view why);
void expect(bool holds, std::string_view name, std::string_view why);
void info(std::string_view what);
void done();

std::string read_file(const std::string& path);
bool write_file(const std::string& path, std::string_view text);
// Waits until the kernel's log, from its beginning on, holds `text`.
void await_log(std::string_view text);
// How often the kernel's log holds `text` by now.
int count_in_log(std::string_view text);
// READY=1 and the like, to PID 1.
void notify(std::string_view text);
void pause_ms(long ms);

}  // namespace steppe::vm
