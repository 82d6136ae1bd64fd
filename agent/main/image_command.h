#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/context.h"

namespace steppe::agent {

// Where `steppe image` looks for the builder, in order: beside this program, then in the absolute directories of PATH.
std::vector<std::string> image_builder_places(std::string_view directory_of_program, std::string_view path);

// `steppe image WORDS…`: steppe-image with these words, in this process's place. Returns only on failure, with the exit
// code 1: the builder is not here (it stays off the nodes), or it cannot be executed. Says so on standard error.
int run_image_command(const std::string& directory_of_program, const std::vector<std::string>& words,
                      const cli::Environment& environment);

}  // namespace steppe::agent
