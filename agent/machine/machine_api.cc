#include "agent/machine/machine_api.h"

#include <format>

#include "agent/machine/trial.h"
#include "agent/schema/codec.h"
#include "agent/schema/machine.pb.h"
#include "init/control/ask.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::machine_api {

using endpoint::Failure;
using endpoint::Method;

namespace {

constexpr Duration kAskLimit = std::chrono::seconds(5);
constexpr Duration kLookAgain = std::chrono::seconds(3);      // at a trial
constexpr Duration kAskAgain = std::chrono::seconds(30);      // for a blessing that was refused
constexpr const char* kHadHeartbeats = "had-heartbeats";      // a file in our directory

bool is_socket(const std::string& path) {
  const size_t slash = path.rfind('/');
  Result<kernel::Beneath> directory = kernel::Beneath::at(path.substr(0, slash + 1));
  if (!directory.ok()) return false;
  const Result<kernel::FileInfo> info = directory->stat(path.substr(slash + 1));
  return info.ok() && info->type == kernel::FileType::kSocket;
}

// An answer of the child, as the message whose JSON it is.
endpoint::Outcome<> read_reply(const std::string& text, google::protobuf::Message& reply) {
  Result<> read = schema::read_json(text, &reply);
  if (!read.ok()) return Failure(500, Code::kCorrupt, "the answer of the program that changes the slots: " + read.error().message());
  return {};
}

void fill(const control::Reply& state, schema::MachineServicesReply& reply) {
  for (size_t i = 0; i < state.count; ++i) {
    const control::Service& service = state.services[i];
    schema::MachineService& row = *reply.add_services();
    row.set_name(std::string(service.name.view()));
    row.set_state(std::string(control::state_name(service.state)));
    row.set_pid(service.pid);
    row.set_crashes(service.crashes);
    row.set_last_end(std::string(service.last_end.view()));
    row.set_status(std::string(service.status.view()));
  }
}

}  // namespace

MachineApi::MachineApi(io::Loop& loop, io::Processes& processes, log::Logger logger, Options options)
    : loop_(loop),
      logger_(std::move(logger)),
      options_(std::move(options)),
      appliance_(is_socket(options_.control)),
      view_(options_.root),
      uploads_(options_.directory + "/upload"),
      slots_(loop, processes, options_.node_program) {}

void MachineApi::serve(endpoint::Dispatcher& dispatcher) {
  using schema::MachineRequest;
  dispatcher.add<Method::kMachineInfo>(loop_, [this](const MachineRequest&, const Call&, auto& reply) { return info(reply); });
  dispatcher.add<Method::kMachineDmesg>(loop_, [this](const MachineRequest& request, const Call&, schema::MachineDmesgReply& reply) {
    return look<schema::MachineDmesgReply>([this, lines = request.lines()](auto& into) { return view_.dmesg(lines, into); }, reply);
  });
  dispatcher.add<Method::kMachineLogs>(loop_, [this](const MachineRequest& request, const Call&, schema::MachineLogsReply& reply) {
    return look<schema::MachineLogsReply>([this, lines = request.lines()](auto& into) { return view_.logs(lines, into); }, reply);
  });
  dispatcher.add<Method::kMachineServices>(loop_, [this](const MachineRequest&, const Call&, auto& reply) { return services(reply); });
  dispatcher.add<Method::kMachineDisks>(loop_, [this](const MachineRequest&, const Call&, schema::MachineDisksReply& reply) {
    return look<schema::MachineDisksReply>([this](auto& into) { return view_.disks(into); }, reply);
  });
  dispatcher.add<Method::kMachineMounts>(loop_, [this](const MachineRequest&, const Call&, schema::MachineMountsReply& reply) {
    return look<schema::MachineMountsReply>([this](auto& into) { return view_.mounts(into); }, reply);
  });
  dispatcher.add<Method::kMachineProcesses>(loop_, [this](const MachineRequest&, const Call&, schema::MachineProcessesReply& reply) {
    return look<schema::MachineProcessesReply>([this](auto& into) { return view_.processes(into); }, reply);
  });
  dispatcher.add<Method::kMachineTime>(loop_, [this](const MachineRequest&, const Call&, schema::MachineTimeReply& reply) {
    return look<schema::MachineTimeReply>([this, now = loop_.wall().unix_ns](auto& into) { return view_.time(now, into); }, reply);
  });
  dispatcher.add<Method::kMachineSlots>(loop_, [this](const MachineRequest&, const Call& call, auto& reply) { return slots(call.deadline().stop, reply); });
  dispatcher.add<Method::kMachineReboot>(loop_, [this](const auto& request, const Call& call, auto& reply) { return end(control::Ending::kReboot, request, call, reply); });
  dispatcher.add<Method::kMachinePoweroff>(loop_, [this](const auto& request, const Call& call, auto& reply) { return end(control::Ending::kPowerOff, request, call, reply); });
  dispatcher.add<Method::kMachineUpload>(loop_, [this](const auto& request, const Call&, auto& reply) { return upload(request, reply); });
  dispatcher.add<Method::kMachineStage>(loop_, [this](const auto& request, const Call& call, auto& reply) { return stage(request, call.deadline().stop, reply); });
  dispatcher.add<Method::kMachineTry>(loop_, [this](const auto& request, const Call& call, auto& reply) {
    std::vector<std::string> words{"try", request.version()};
    if (request.downgrade()) words.push_back("-downgrade");
    return change(std::move(words), call.deadline().stop, reply);
  });
  dispatcher.add<Method::kMachineBless>(loop_, [this](const auto&, const Call& call, auto& reply) { return change({"bless"}, call.deadline().stop, reply); });
  dispatcher.add<Method::kMachineRevert>(loop_, [this](const auto&, const Call& call, auto& reply) { return change({"revert"}, call.deadline().stop, reply); });
  dispatcher.add<Method::kMachineForgive>(loop_, [this](const auto& request, const Call& call, auto& reply) { return change({"forgive", request.digest()}, call.deadline().stop, reply); });
}

endpoint::Outcome<> MachineApi::guard() const {
  if (appliance_) return {};
  return Failure(501, Code::kUnsupported, "not an appliance node: this agent runs on an ordinary operating system, which looks after its machine by itself");
}

template <class Reply>
io::Task<endpoint::Outcome<>> MachineApi::look(std::move_only_function<Result<>(Reply&)> read, Reply& reply) {
  STEPPE_CO_TRY_VOID(guard());
  auto work = [&read, &reply] { return read(reply); };
  Result<> done = co_await io::run_blocking(loop_, work);
  if (!done.ok()) co_return Failure(std::move(done).error());
  co_return Outcome<>();
}

io::Task<Result<control::Reply>> MachineApi::ask(control::Request request) {
  auto work = [request, path = options_.control] { return control::ask(request, kAskLimit, path); };
  co_return co_await io::run_blocking(loop_, work);
}

io::Task<endpoint::Outcome<>> MachineApi::info(schema::MachineInfoReply& reply) {
  STEPPE_CO_TRY_VOID(guard());
  STEPPE_CO_TRY_VOID(co_await look<schema::MachineInfoReply>([this](auto& into) { return view_.info(into); }, reply));
  const Result<control::Reply> state = co_await ask({.verb = control::Verb::kState});
  if (!state.ok()) co_return Failure(state.error());
  reply.set_trial(state->trial);
  reply.set_trial_left_s(state->trial_left_s);
  co_return Outcome<>();
}

io::Task<endpoint::Outcome<>> MachineApi::services(schema::MachineServicesReply& reply) {
  STEPPE_CO_TRY_VOID(guard());
  const Result<control::Reply> state = co_await ask({.verb = control::Verb::kState});
  if (!state.ok()) co_return Failure(state.error());
  fill(*state, reply);
  co_return Outcome<>();
}

io::Task<endpoint::Outcome<>> MachineApi::slots(std::stop_token stop, schema::MachineSlotsReply& reply) {
  STEPPE_CO_TRY_VOID(guard());
  STEPPE_CO_TRY(const std::string text, co_await slots_.run({"list"}, std::move(stop)));
  co_return read_reply(text, reply);
}

io::Task<endpoint::Outcome<>> MachineApi::end(control::Ending ending, const schema::MachineEndRequest& request, const Call& call, schema::MachineEndReply& reply) {
  STEPPE_CO_TRY_VOID(guard());
  const Result<control::Reply> state = co_await ask({.verb = control::Verb::kState});
  if (state.ok() && state->trial) {
    // People who restart a machine do not judge its image.
    const Outcome<std::string> returned = co_await slots_.run({"return-try"}, call.deadline().stop);
    if (!returned.ok()) logger_.warn("this restart costs the image on trial one try", {{"error", returned.error().message()}});
  }
  const std::string why = request.reason().empty() ? std::string("over the API") : request.reason();
  control::Request wanted{.verb = control::Verb::kEnd, .ending = ending, .reason = std::format("{} ({})", why, call.identity().name())};
  const Result<control::Reply> done = co_await ask(wanted);
  if (!done.ok() && done.error().code() == Code::kUnavailable) co_return Failure(409, Code::kUnavailable, done.error().message());
  if (!done.ok()) co_return Failure(done.error());
  logger_.info("the machine goes down", {{"reason", wanted.reason.view()}});
  reply.set_summary(ending == control::Ending::kReboot ? "the machine reboots" : "the machine powers off");
  co_return Outcome<>();
}

io::Task<endpoint::Outcome<>> MachineApi::upload(const schema::MachineUploadRequest& request, schema::MachineUploadReply& reply) {
  STEPPE_CO_TRY_VOID(guard());
  auto work = [this, &request] { return uploads_.write(request.digest(), request.offset(), request.size(), as_bytes(request.data())); };
  STEPPE_CO_TRY(const uint64_t have, co_await io::run_blocking(loop_, work));
  reply.set_offset(have);
  co_return Outcome<>();
}

io::Task<endpoint::Outcome<>> MachineApi::stage(const schema::MachineSlotsChangeRequest& request, std::stop_token stop, schema::MachineSlotsChangeReply& reply) {
  STEPPE_CO_TRY_VOID(guard());
  const std::string digest = request.digest();
  auto work = [this, digest] { return uploads_.find(digest); };
  STEPPE_CO_TRY(const std::string path, co_await io::run_blocking(loop_, work));
  std::vector<std::string> words{"stage", path};
  if (request.downgrade()) words.push_back("-downgrade");
  STEPPE_CO_TRY_VOID(co_await change(std::move(words), std::move(stop), reply));
  auto clean = [this, digest] {
    uploads_.remove(digest);
    return true;
  };
  static_cast<void>(co_await io::run_blocking(loop_, clean));
  co_return Outcome<>();
}

io::Task<endpoint::Outcome<>> MachineApi::change(std::vector<std::string> words, std::stop_token stop, schema::MachineSlotsChangeReply& reply) {
  STEPPE_CO_TRY_VOID(guard());
  const std::string verb = words.front();
  if (words.size() > 1 && words[1].empty()) co_return endpoint::bad_request(verb + ": the request names nothing to act on");
  // A word that looks like a flag is none.
  if (words.size() > 1 && words[1].starts_with('-')) co_return endpoint::bad_request(std::format("{}: \"{}\" is neither a version nor a digest", verb, words[1]));
  STEPPE_CO_TRY(const std::string text, co_await slots_.run(std::move(words), std::move(stop)));
  STEPPE_CO_TRY_VOID(read_reply(text, reply));
  logger_.info("slots changed", {{"verb", verb}, {"summary", reply.summary()}});
  co_return Outcome<>();
}

io::Task<bool> MachineApi::bless(std::stop_token stop) {
  schema::MachineSlotsChangeReply reply;
  const Outcome<> done = co_await change({"bless"}, std::move(stop), reply);
  if (!done.ok()) logger_.error("the image on trial cannot be blessed", {{"error", done.error().message()}});
  co_return done.ok();
}

io::Task<void> MachineApi::watch_trial(std::function<bool()> heartbeating, std::stop_token stop) {
  if (!appliance_) co_return;
  const std::string marker = options_.directory;
  auto had = [marker] {
    Result<kernel::Beneath> directory = kernel::Beneath::at(marker);
    return directory.ok() && directory->stat(kHadHeartbeats).ok();
  };
  const bool had_heartbeats = co_await io::run_blocking(loop_, had);
  bool remembered = had_heartbeats, trial = true;
  TrialJudge judge;
  std::string said;
  while ((trial || !remembered) && (co_await io::sleep_for(loop_, kLookAgain, stop)).ok()) {
    TrialFacts facts{.heartbeating = heartbeating(), .had_heartbeats = had_heartbeats};
    if (facts.heartbeating && !remembered) {
      auto remember = [marker]() -> Result<> {
        const size_t slash = marker.rfind('/');
        STEPPE_TRY(const kernel::Beneath parent, kernel::Beneath::at(marker.substr(0, slash)));
        STEPPE_TRY_VOID(parent.make_directories(marker.substr(slash + 1), 0700));
        STEPPE_TRY(const kernel::Beneath directory, kernel::Beneath::at(marker));
        return directory.write(kHadHeartbeats, {}, 0600, kernel::Beneath::Sync::kYes);
      };
      remembered = (co_await io::run_blocking(loop_, remember)).ok();
    }
    if (!trial) continue;
    const Result<control::Reply> state = co_await ask({.verb = control::Verb::kState});
    if (!state.ok()) continue;
    trial = state->trial;
    if (!trial) continue;
    auto look_at = [this] { return view_.state_is_kept(); };
    const Result<bool> kept = co_await io::run_blocking(loop_, look_at);
    facts.state_kept = kept.ok() && *kept;
    const auto built = view_.built_unix_s();
    facts.clock_sane = built && loop_.wall().unix_ns / 1'000'000'000 >= *built;
    const std::string missing(what_is_missing(facts).value_or(""));
    if (missing != said && !missing.empty()) logger_.warn("the image on trial is not blessed yet", {{"reason", missing}, {"reboot_in_s", state->trial_left_s}});
    said = missing;
    if (!judge.bless_now(loop_.now(), facts)) continue;
    trial = !co_await bless(stop);
    if (trial && !(co_await io::sleep_for(loop_, kAskAgain, stop)).ok()) co_return;
  }
}

}  // namespace steppe::machine_api
