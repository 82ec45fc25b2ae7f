#include "backend/local/local_backend.h"

#include "backend/local/supervisor.h"

namespace deepmoat::backend {

LocalBackend::LocalBackend(LocalBackendOptions options, const Clock& clock)
    : supervisor_(std::make_unique<Supervisor>(std::move(options), clock)) {}
LocalBackend::~LocalBackend() = default;

CallId LocalBackend::submit(wire::InferRequest request, EventSink sink) {
  return supervisor_->submit(std::move(request), std::move(sink));
}
void LocalBackend::cancel(CallId call) {
  supervisor_->cancel(call);
}
BackendStatus LocalBackend::status() const {
  return supervisor_->status();
}
Health LocalBackend::health() const {
  return supervisor_->health();
}
void LocalBackend::shut_down() {
  supervisor_->shut_down();
}
pid_t LocalBackend::worker_pid() const {
  return supervisor_->worker_pid();
}

}  // namespace deepmoat::backend
