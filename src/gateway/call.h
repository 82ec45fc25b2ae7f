// The types of the pipeline. Each stage takes the type that the stage before it returns, and only
// that stage can make it: code that would route a call that nobody authenticated does not compile.
//
//   ReceivedCall -> AuthenticatedCall -> AdmittedCall -> ClassifiedCall -> RoutedCall ->
//   FinishedCall
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audit/record.h"
#include "backend/backend.h"
#include "base/clock.h"
#include "base/strong.h"
#include "gateway/responder.h"
#include "gateway/routes.h"
#include "identity/authenticator.h"
#include "identity/successors.h"
#include "policy/data_class.h"
#include "policy/route.h"
#include "quota/ledger.h"
#include "wire/answer.h"
#include "wire/request_reader.h"

namespace deepmoat::gateway {

struct Services;
class AuditTrail;

// A request as it came off the wire, its route known.
struct ReceivedCall {
  RequestId request_id;
  const Route* route = nullptr;
  std::string argument;                                     // of the route's "{}"
  std::string presented_key;                                // empty: none
  std::string address;                                      // of the peer, without port
  std::optional<std::uint32_t> local_uid;                   // set on the data folder's own socket
  std::optional<identity::CertifiedClient> certified = {};  // of a verified client certificate
  std::string stated_class;                                 // header x-deepmoat-data-class
  std::string body;
  MonoNanos received_ns = 0;
  std::shared_ptr<std::atomic<std::uint64_t>> on_record = {};   // identity::Actor's, of an action
  std::vector<std::pair<std::string, std::string>> query = {};  // decoded, in their order
};

// Somebody we know sent it, and his role permits the route.
class AuthenticatedCall {
 public:
  ReceivedCall received;
  identity::Principal principal;

 private:
  AuthenticatedCall(ReceivedCall r, identity::Principal p)
      : received(std::move(r)), principal(std::move(p)) {}
  friend wire::OrRefusal<AuthenticatedCall> authenticate(ReceivedCall, const Services&,
                                                         AuditTrail&);
};

// Its body is well formed and its key has room for it.
class AdmittedCall {
 public:
  AuthenticatedCall authenticated;
  wire::InferenceCall inference;
  quota::Reservation reservation;

 private:
  AdmittedCall(AuthenticatedCall a, wire::InferenceCall i, quota::Reservation r)
      : authenticated(std::move(a)), inference(std::move(i)), reservation(std::move(r)) {}
  friend wire::OrRefusal<AdmittedCall> admit(AuthenticatedCall, const Services&,
                                             wire::RequestReader&, AuditTrail&);
};

// We know how confidential its data is.
class ClassifiedCall {
 public:
  AdmittedCall admitted;
  policy::DataClass data_class;

 private:
  ClassifiedCall(AdmittedCall a, policy::DataClass d) : admitted(std::move(a)), data_class(d) {}
  friend wire::OrRefusal<ClassifiedCall> classify(AdmittedCall, AuditTrail&);
};

// Its data may go where it goes.
class RoutedCall {
 public:
  ClassifiedCall classified;
  policy::Route route;
  std::shared_ptr<backend::Backend> backend;
  wire::AnswerHead head;

 private:
  RoutedCall(ClassifiedCall c, policy::Route r, std::shared_ptr<backend::Backend> b,
             wire::AnswerHead h)
      : classified(std::move(c)), route(std::move(r)), backend(std::move(b)), head(std::move(h)) {}
  friend wire::OrRefusal<RoutedCall> route(ClassifiedCall, const Services&, AuditTrail&);
};

// It ran to its end, whatever that was.
struct FinishedCall {
  RoutedCall routed;
  Headers headers = {};  // of the answer, whatever it becomes
  std::unique_ptr<wire::AnswerWriter> writer = {};
  std::string opening = {};  // of a stream; nothing of it has gone out while `streaming` is false
  wire::Answer answer = wire::Answer();
  std::optional<backend::ModelIdentity> answered_by;  // it may be another than when it was routed
  std::optional<wire::Refusal> failure;               // it did not run, or broke
  bool cancelled = false;  // generation was stopped: the client went away, or, with
                           // `failure` set, its key was withdrawn
  bool streaming = false;  // headers of a stream have gone out
};

// The stages before the effect, each in stages/<name>.cc.
[[nodiscard]] wire::OrRefusal<AuthenticatedCall> authenticate(ReceivedCall call,
                                                              const Services& services,
                                                              AuditTrail& trail);
[[nodiscard]] wire::OrRefusal<AdmittedCall> admit(AuthenticatedCall call, const Services& services,
                                                  wire::RequestReader& reader, AuditTrail& trail);
[[nodiscard]] wire::OrRefusal<ClassifiedCall> classify(AdmittedCall call, AuditTrail& trail);
[[nodiscard]] wire::OrRefusal<RoutedCall> route(ClassifiedCall call, const Services& services,
                                                AuditTrail& trail);

}  // namespace deepmoat::gateway
