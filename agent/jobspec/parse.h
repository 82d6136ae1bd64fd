#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/base/rng.h"
#include "init/hcl/diagnostic.h"

namespace steppe::schema {
class Job;
}

namespace steppe::jobspec {

// What file(), fileset() and their like may see. Paths are as the job file names them, relative ones already joined to
// the job file's directory. A reader that refuses everything is written by passing none at all.
class FileReader {
 public:
  virtual ~FileReader() = default;
  virtual Result<std::string> read(const std::string& path) = 0;
  virtual Result<bool> exists(const std::string& path) = 0;  // true only for regular files
  // Names of regular files below `directory`, relative to it, in any order.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  virtual Result<std::string> working_directory() = 0;
  virtual Result<std::string> home_directory() = 0;
};

struct VarFile {
  std::string name;
  std::string text;
};

struct ParseOptions {
  std::vector<std::string> var_flags;              // "name=value" of each -var; later ones win
  std::vector<VarFile> var_files;                  // in the order given; later ones win
  std::map<std::string, std::string> environment;  // NOMAD_VAR_name; everything else in it is ignored
  FileReader* files = nullptr;                     // none: the file functions are refused (the server's parse endpoint)
  std::string base_directory = ".";                // what relative paths of file functions start from
  Rng* rng = nullptr;                              // for uuidv4 and bcrypt; none: they are refused
  bool strict = true;                              // a value for an undeclared variable is an error, not a warning
};

struct Findings {
  std::string warnings;  // one per line, perhaps with excerpts; empty when there are none
};

// Reads a job file in HCL 2 as `nomad job run` does: variables, locals, functions, dynamic blocks; then every block and
// key of the job language is put into the message. References that are only known at run time (${attr.x}, ${node.x},
// ${NOMAD_X}, ${meta.x}, ${env["X"]}, …) stay literal text. Defaults are not filled in: that is
// agent/model/canonicalize.h. The error's text holds all findings with file, line, column and excerpt.
Result<schema::Job> parse(std::string_view file_name, std::string_view text, const ParseOptions& options,
                          Findings* findings = nullptr);

// Blocks and keys of the job that are kept and shown, but that no part of this build acts on yet: "group web > service
// api: provider \"consul\"", in a stable order. For the warnings of `job run`.
std::vector<std::string> not_yet_acted_on(const schema::Job& job);

}  // namespace steppe::jobspec
