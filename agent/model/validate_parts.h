#pragma once

#include <format>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/repeated_field.h>

// The parts of validate.cc, by what they judge.
namespace steppe::schema {
class Affinity;
class Constraint;
class Job;
class Service;
class Spread;
class Task;
class TaskGroup;
}

namespace steppe::model::parts {

// Problems of one block, in the order found.
class Findings {
 public:
  template <class... Args>
  void add(std::format_string<Args...> format, Args&&... args) {
    list_.push_back(std::format(format, std::forward<Args>(args)...));
  }
  void require(bool holds, std::string text) {
    if (!holds) list_.push_back(std::move(text));
  }
  // The problems of an inner block as one of this: "Task web validation failed: 1 error occurred: ...".
  void nest(std::string title, const Findings& inner);
  bool empty() const { return list_.empty(); }
  const std::vector<std::string>& list() const { return list_; }
  std::vector<std::string> take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

std::string duration_text(int64_t ns);  // Go's Duration.String

enum class Level { kJob, kGroup, kTask };

void validate_constraints(const google::protobuf::RepeatedPtrField<schema::Constraint>& constraints, Level level,
                          Findings* out);
void validate_affinities(const google::protobuf::RepeatedPtrField<schema::Affinity>& affinities, bool system,
                         Findings* out);
void validate_spreads(const google::protobuf::RepeatedPtrField<schema::Spread>& spreads, bool system, Findings* out);

void validate_group(const schema::Job& job, const schema::TaskGroup& group, Findings* out);
void validate_task(const schema::Job& job, const schema::TaskGroup& group, const schema::Task& task, Findings* out);
// `task` is null for the group's services.
void validate_services(const schema::TaskGroup& group, const schema::Task* task, Findings* out);

void warn_group(const schema::Job& job, const schema::TaskGroup& group, Findings* out);

}  // namespace steppe::model::parts
