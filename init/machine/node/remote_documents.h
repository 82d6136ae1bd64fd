#pragma once

#include <string>
#include <vector>

#include "init/base/log.h"
#include "init/io/child.h"
#include "init/io/loop.h"
#include "init/io/task.h"
#include "init/io/wait.h"
#include "init/machine/node/configure.h"

namespace steppe::node {

// The documents of a machine that others on the network have: who is asked again, who is not, and what is known of each.
//
//   state     answer                       -> state      why
//   pending   a document                   -> found
//   pending   there is none (404)          -> absent     another address of the machine may have one
//   pending   refused (certificate, digest)-> refused    asking again soon changes nothing
//   pending   anything else                -> pending    tried again
//   absent, refused   ask_again()          -> pending    a machine that waits for its configuration keeps asking
// Pure.
class RemoteDocuments {
 public:
  enum class Answer : uint8_t { kFound, kAbsent, kRefused, kNotNow };

  explicit RemoteDocuments(std::vector<machine::RemoteSource> sources);

  // The sources to be asked now, by their numbers.
  std::vector<size_t> pending() const;
  const machine::RemoteSource& source(size_t number) const { return entries_[number].source; }
  // `text`: the document, or what went wrong.
  void answered(size_t number, Answer answer, std::string text);
  void ask_again();

  std::vector<Document> found() const;
  // One line for each link of which nothing came although somebody named it.
  std::vector<std::string> faults() const;

 private:
  struct Entry {
    machine::RemoteSource source;
    bool done = false;
    Answer answer = Answer::kNotNow;
    std::string text;
  };
  std::vector<Entry> entries_;
};

// Asks once, by `program`, the agent's (agent/client/document_child.h), in at most 40 seconds.
struct Fetched {
  RemoteDocuments::Answer answer = RemoteDocuments::Answer::kNotNow;
  std::string text;
};
io::Task<Fetched> fetch_document(io::Loop& loop, io::Processes& processes, std::string program, machine::RemoteSource source, std::vector<std::string> environment,
                                 std::stop_token stop);

}  // namespace steppe::node
