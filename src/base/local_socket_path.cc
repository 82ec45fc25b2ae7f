#include "base/local_socket_path.h"

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

namespace deepmoat {

Result<LocalSocketPath> LocalSocketPath::enter(const std::filesystem::path& path) {
  if (path.string().size() < sizeof(sockaddr_un::sun_path)) {
    return LocalSocketPath(path.string(), UniqueFd());
  }
  TRY(UniqueFd came_from, open_file(".", O_PATH | O_DIRECTORY));
  if (::chdir(path.parent_path().c_str()) != 0) {
    return fail_errno(Code::io, "enter " + path.parent_path().string());
  }
  return LocalSocketPath(path.filename().string(), std::move(came_from));
}

LocalSocketPath::~LocalSocketPath() {
  if (came_from_.valid() && ::fchdir(came_from_.get()) != 0) {
    log::error("cannot go back to the folder of the start");
  }
}

}  // namespace deepmoat
