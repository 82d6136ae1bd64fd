#include "init/machine/node/remote_documents.h"

#include <chrono>
#include <map>

#include "init/base/text.h"
#include "init/machine/network/program_output.h"

namespace steppe::node {
namespace {

constexpr Duration kOneQuestion = std::chrono::seconds(40);  // 20 s of its own, and names that do not resolve
constexpr size_t kMostOutput = machine::kMaxConfigBytes + 4096;

}  // namespace

RemoteDocuments::RemoteDocuments(std::vector<machine::RemoteSource> sources) {
  for (machine::RemoteSource& source : sources) entries_.push_back({std::move(source), false, Answer::kNotNow, {}});
}

std::vector<size_t> RemoteDocuments::pending() const {
  std::vector<size_t> out;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!entries_[i].done) out.push_back(i);
  }
  return out;
}

void RemoteDocuments::answered(size_t number, Answer answer, std::string text) {
  Entry& entry = entries_[number];
  entry.answer = answer;
  entry.text = std::move(text);
  entry.done = answer != Answer::kNotNow;
}

void RemoteDocuments::ask_again() {
  for (Entry& entry : entries_) entry.done = entry.done && entry.answer == Answer::kFound;
}

std::vector<Document> RemoteDocuments::found() const {
  std::vector<Document> out;
  for (const Entry& entry : entries_) {
    if (entry.answer == Answer::kFound) out.push_back({entry.source.origin, entry.source.trust, entry.source.name(), entry.text});
  }
  return out;
}

std::vector<std::string> RemoteDocuments::faults() const {
  struct Link {
    bool served = false;
    std::string why;
  };
  std::map<size_t, Link> links;
  for (const Entry& entry : entries_) {
    Link& link = links[entry.source.link];
    const bool fine = entry.answer == Answer::kFound || (entry.answer == Answer::kAbsent && entry.source.may_be_absent);
    link.served = link.served || fine;
    // Of several the one that says more than "there is none".
    if (!fine && (link.why.empty() || entry.answer != Answer::kAbsent)) link.why = entry.source.name() + ": " + (entry.text.empty() ? "not asked yet" : entry.text);
  }
  std::vector<std::string> out;
  for (auto& [number, link] : links) {
    if (!link.served) out.push_back(std::move(link.why));
  }
  return out;
}

io::Task<Fetched> fetch_document(io::Loop& loop, io::Processes& processes, std::string program, machine::RemoteSource source, std::vector<std::string> environment,
                                 std::stop_token stop) {
  using Kind = machine::RemoteSource::Kind;
  std::vector<std::string> words{"fetch-document"};
  if (!source.sha256.empty()) words.insert(words.end(), {"-sha256", source.sha256});
  if (source.kind == Kind::kUrl) words.insert(words.end(), {"url", source.url});
  else words.emplace_back(source.kind == Kind::kEc2 ? "ec2" : "gce");
  const io::Deadline deadline = io::Deadline::in(loop, kOneQuestion, stop);
  Result<network::ProgramOutput> output = co_await network::output_of(loop, processes, program, words, deadline, environment, kMostOutput);
  if (!output.ok()) co_return Fetched{RemoteDocuments::Answer::kNotNow, output.error().message()};
  if (output->status.ok()) co_return Fetched{RemoteDocuments::Answer::kFound, std::move(output->text)};
  std::string why(trim(std::string_view(output->text).substr(0, 500)));
  if (why.empty()) why = "the fetching process ended without a word";
  const auto answer = output->status.code == 3 ? RemoteDocuments::Answer::kAbsent : output->status.code == 4 ? RemoteDocuments::Answer::kRefused : RemoteDocuments::Answer::kNotNow;
  co_return Fetched{answer, std::move(why)};
}

}  // namespace steppe::node
