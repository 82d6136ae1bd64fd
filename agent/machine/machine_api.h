#pragma once

#include <functional>
#include <string>

#include "agent/endpoint/dispatcher.h"
#include "agent/machine/machine_view.h"
#include "agent/machine/slots_child.h"
#include "agent/machine/uploads.h"
#include "init/base/log.h"
#include "init/control/message.h"
#include "init/io/child.h"
#include "init/io/loop.h"

namespace steppe::schema {
class MachineEndReply;
class MachineEndRequest;
class MachineRequest;
class MachineServicesReply;
class MachineSlotsChangeReply;
class MachineSlotsChangeRequest;
class MachineSlotsReply;
class MachineUploadReply;
class MachineUploadRequest;
}  // namespace steppe::schema

namespace steppe::machine_api {

// The methods Machine.*: on a machine whose PID 1 is ours they read it and act on it; on any other, every one of them answers 501 "not an
// appliance node". Loop thread; what blocks runs on the loop's pool.
class MachineApi {
 public:
  struct Options {
    std::string root;                             // below which the machine is looked at; "" but in tests
    std::string control = control::kSocket;       // PID 1; not there: no appliance
    std::string node_program = "/usr/bin/steppe-node";
    std::string directory;                        // of ours, for uploads and what is remembered; its parent exists
  };

  // Everything handed in outlives this.
  MachineApi(io::Loop& loop, io::Processes& processes, log::Logger logger, Options options);

  void serve(endpoint::Dispatcher& dispatcher);
  bool appliance() const { return appliance_; }

  // What a ready agent owes to an image on trial: asks for its blessing once nothing speaks against it (trial.h), again and again until it
  // is blessed or `stop`; and remembers that this node had heartbeats. Ends by itself when both are done, or on no appliance.
  // `heartbeating` is called on the loop's thread.
  io::Task<void> watch_trial(std::function<bool()> heartbeating, std::stop_token stop);

 private:
  using Call = endpoint::Call;
  template <class T = void>
  using Outcome = endpoint::Outcome<T>;

  Outcome<> guard() const;
  // Reads on the pool.
  template <class Reply>
  io::Task<Outcome<>> look(std::move_only_function<Result<>(Reply&)> read, Reply& reply);
  io::Task<Result<control::Reply>> ask(control::Request request);
  io::Task<Outcome<>> info(schema::MachineInfoReply& reply);
  io::Task<Outcome<>> services(schema::MachineServicesReply& reply);
  io::Task<Outcome<>> slots(std::stop_token stop, schema::MachineSlotsReply& reply);
  io::Task<Outcome<>> end(control::Ending ending, const schema::MachineEndRequest& request, const Call& call, schema::MachineEndReply& reply);
  io::Task<Outcome<>> upload(const schema::MachineUploadRequest& request, schema::MachineUploadReply& reply);
  io::Task<Outcome<>> stage(const schema::MachineSlotsChangeRequest& request, std::stop_token stop, schema::MachineSlotsChangeReply& reply);
  io::Task<Outcome<>> change(std::vector<std::string> words, std::stop_token stop, schema::MachineSlotsChangeReply& reply);
  io::Task<bool> bless(std::stop_token stop);

  io::Loop& loop_;
  log::Logger logger_;
  const Options options_;
  const bool appliance_;
  MachineView view_;
  Uploads uploads_;
  SlotsChild slots_;
};

}  // namespace steppe::machine_api
