#include "agent/main/image_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <format>

#include "init/base/text.h"

namespace steppe::agent {

namespace {

constexpr std::string_view kBuilder = "steppe-image";

}  // namespace

std::vector<std::string> image_builder_places(std::string_view directory_of_program, std::string_view path) {
  std::vector<std::string> out{std::format("{}/{}", directory_of_program, kBuilder)};
  for (const std::string_view directory : split(path, ':')) {
    // Where somebody happens to stand is no place to take a program from.
    if (directory.starts_with('/')) out.push_back(std::format("{}/{}", directory, kBuilder));
  }
  return out;
}

int run_image_command(const std::string& directory_of_program, const std::vector<std::string>& words,
                      const cli::Environment& environment) {
  std::vector<std::string> texts{std::string(kBuilder)}, settings;
  texts.insert(texts.end(), words.begin(), words.end());
  for (const auto& [name, value] : environment) settings.push_back(std::format("{}={}", name, value));
  std::vector<char*> argv, env;
  for (std::string& text : texts) argv.push_back(text.data());
  for (std::string& text : settings) env.push_back(text.data());
  argv.push_back(nullptr);
  env.push_back(nullptr);
  const auto path = environment.find("PATH");
  for (const std::string& place :
       image_builder_places(directory_of_program, path == environment.end() ? std::string_view() : path->second)) {
    execve(place.c_str(), argv.data(), env.data());
    if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) continue;
    std::fprintf(stderr, "steppe image: execute %s: %s\n", place.c_str(), std::strerror(errno));
    return 1;
  }
  std::fprintf(stderr,
               "steppe image: the builder is not on this machine: there is no %s beside this program (%s) nor in PATH. "
               "Images are made where Steppe is built; nodes do not have it.\n",
               std::string(kBuilder).c_str(), directory_of_program.c_str());
  return 1;
}

}  // namespace steppe::agent
