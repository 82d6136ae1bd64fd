#pragma once

#include <string>
#include <string_view>

#include "init/base/result.h"

namespace steppe::boot {

// Loads one uncompressed kernel module, named below the open directory (finit_module(2)); the path may have neither a
// leading slash nor a ".." part, and no symlink leads out. A module that is loaded already is fine. kDenied: its signature
// is not one this kernel accepts; kNotFound: no such file. The kernel runs the module's start code within the call.
// Needs CAP_SYS_MODULE.
Result<> load_module_file(int directory, std::string_view path);

// A name of a list of files: not empty, at most 255 bytes, no '/', not "." or "..", printable ASCII.
bool plain_file_name(std::string_view name);

// Loads the modules that the directory's file "order" names, one file name a line, in that order. At most 64 lines of
// 4 KiB in all (kExhausted). A module that the kernel refuses (no such hardware: ENODEV) does not stop the others: the
// first such error is returned after the last line.
Result<> load_modules_in_order(int directory);

}  // namespace steppe::boot
