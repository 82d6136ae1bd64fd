#include "agent/cli/job_file.h"

#include <format>

#include "agent/jobspec/parse.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/text.h"
#include "init/io/epoll_loop.h"
#include "init/io/path_file.h"

namespace steppe::cli {

namespace {

constexpr Bytes kLongestJobFile = Bytes::mib(1);
constexpr Bytes kLongestIncludedFile = Bytes::mib(16);

// What file() and its like see: this machine's files, by path.
class PathReader final : public jobspec::FileReader {
 public:
  explicit PathReader(const Environment& environment) : environment_(environment) {}
  Result<std::string> read(const std::string& path) override { return io::read_path(path, kLongestIncludedFile); }
  Result<bool> exists(const std::string& path) override { return io::kind_of_path(path) == io::PathKind::kFile; }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    std::vector<std::string> found;
    STEPPE_TRY_VOID(walk(directory, "", 0, found));
    return found;
  }
  Result<std::string> working_directory() override { return io::working_directory(); }
  Result<std::string> home_directory() override {
    const auto home = environment_.find("HOME");
    if (home == environment_.end()) return Error(Code::kNotFound, "HOME is not set");
    return home->second;
  }

 private:
  static constexpr int kDeepest = 32;
  static constexpr size_t kMost = 10'000;

  static Result<> walk(const std::string& directory, const std::string& prefix, int depth, std::vector<std::string>& found) {
    if (depth > kDeepest || found.size() > kMost) return Error(Code::kExhausted, std::format("{}: too many files", directory));
    STEPPE_TRY(const std::vector<std::string> names, io::list_path(directory));
    for (const std::string& name : names) {
      const std::string path = directory + "/" + name;
      const io::PathKind kind = io::kind_of_path(path);
      if (kind == io::PathKind::kFile) found.push_back(prefix + name);
      if (kind == io::PathKind::kDirectory) STEPPE_TRY_VOID(walk(path, prefix + name + "/", depth + 1, found));
    }
    return {};
  }

  const Environment& environment_;
};

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// "Job" may stand inside {"Job": {...}}, as the API sends it.
Result<> read_json_job(const std::string& text, schema::Job* job) {
  schema::JobRegisterRequest wrapped;
  if (schema::read_json(text, &wrapped).ok() && wrapped.has_job()) {
    *job = std::move(*wrapped.mutable_job());
    return {};
  }
  return schema::read_json(text, job);
}

// A program or an archive given by mistake: said as such, before a parser finds fault with its bytes.
Result<> check_text(const std::string& path, std::string_view text) {
  size_t line = 1;
  for (const std::string_view piece : split(text, '\n')) {
    if (piece.find('\0') != std::string_view::npos || !is_utf8(piece)) {
      return Error(Code::kInvalid, std::format("{}: line {} is not text: a job file is HCL, or with -json JSON, in UTF-8", path, line));
    }
    ++line;
  }
  return {};
}

}  // namespace

std::vector<Flags::Spec> job_file_flags() {
  return {{"json", kSwitch, "the file is a job in the API's JSON"},
          {"hcl2-strict", kSwitch, "a value for an undeclared variable is an error (default true)"},
          {"var", kList, "name=value: sets an input variable; may be repeated"},
          {"var-file", kList, "file with values of input variables; may be repeated"},
          {"vault-namespace", kText, "kept for compatibility"},
          {"consul-namespace", kText, "kept for compatibility"}};
}

Result<JobFile> read_job_file(Context& context, const Flags& flags, const std::string& path, schema::Job* job) {
  JobFile file;
  STEPPE_TRY(file.text, io::read_path(path, kLongestJobFile));
  STEPPE_TRY_VOID(check_text(path == "-" ? "<stdin>" : path, file.text));
  if (flags.on("json")) {
    file.format = "json";
    STEPPE_TRY_VOID(read_json_job(file.text, job).wrap(path));
    return file;
  }
  file.format = "hcl2";
  PathReader reader(context.environment());
  jobspec::ParseOptions options;
  options.var_flags = flags.list("var");
  for (const std::string& name : flags.list("var-file")) {
    STEPPE_TRY(std::string text, io::read_path(name, kLongestJobFile));
    options.var_files.push_back({name, std::move(text)});
  }
  options.environment.insert(context.environment().begin(), context.environment().end());
  options.files = &reader;
  options.base_directory = directory_of(path);
  options.rng = &io::system_rng();
  options.strict = !flags.given("hcl2-strict") || flags.on("hcl2-strict");
  jobspec::Findings findings;
  STEPPE_TRY(*job, jobspec::parse(path == "-" ? "<stdin>" : path, file.text, options, &findings));
  file.warnings = std::move(findings.warnings);
  return file;
}

void fill_submission(const JobFile& file, const Flags& flags, const Environment& environment, schema::JobSubmission* submission) {
  static constexpr std::string_view kPrefix = "NOMAD_VAR_";
  submission->set_source(file.text);
  submission->set_format(file.format);
  for (const auto& [key, value] : environment) {
    if (key.starts_with(kPrefix)) (*submission->mutable_variable_flags())[key.substr(kPrefix.size())] = value;
  }
  for (const std::string& flag : flags.list("var")) {
    const size_t equals = flag.find('=');
    if (equals != std::string::npos) (*submission->mutable_variable_flags())[flag.substr(0, equals)] = flag.substr(equals + 1);
  }
  std::string variables;
  for (const std::string& name : flags.list("var-file")) {
    Result<std::string> text = io::read_path(name, kLongestJobFile);
    if (text.ok()) variables.append(*text).append("\n");
  }
  submission->set_variables(variables);
}

}  // namespace steppe::cli
