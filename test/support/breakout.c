// Tries what a workload might try to get out, each attempt in a process of its own, and prints one line for each:
// NAME, then `ok`, the number of the error, or `killed`. Statically linked, so that it runs in an empty image.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY(name, expression) static long name(void) { return (expression); }

static char stack[65536] __attribute__((aligned(16)));
static int nothing(void *unused) { return unused != NULL; }

TRY(socket_vsock, socket(40, SOCK_STREAM, 0))
TRY(socket_alg, socket(38, SOCK_SEQPACKET, 0))
TRY(socket_packet, socket(17, SOCK_RAW, 0))
TRY(socket_netfilter, socket(16, SOCK_RAW, 12))
TRY(socket_raw, socket(2, SOCK_RAW, 1))
TRY(keyctl, syscall(SYS_keyctl, 0, -3, 1, 0, 0))
TRY(add_key, syscall(SYS_add_key, "user", "k", "v", 1, -3))
TRY(request_key, syscall(SYS_request_key, "user", "k", NULL, -3))
TRY(ptrace_me, ptrace(PTRACE_TRACEME, 0, NULL, NULL))
TRY(ptrace_parent, ptrace(PTRACE_SEIZE, getppid(), NULL, NULL))
TRY(read_other, syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0))
TRY(unshare_user, unshare(CLONE_NEWUSER))
TRY(unshare_net, unshare(CLONE_NEWUSER | CLONE_NEWNET))
TRY(clone_user, clone(nothing, stack + sizeof stack, CLONE_NEWUSER | SIGCHLD, NULL))
TRY(clone3_user, syscall(SYS_clone3, (unsigned long long[11]){CLONE_NEWUSER, 0, 0, 0, SIGCHLD}, 88))
TRY(setns_init, syscall(SYS_setns, 0, 0))
TRY(mount_proc, mount("proc", "/tmp", "proc", 0, NULL))
TRY(umount_in, umount2("/in", MNT_DETACH))
TRY(fs_open, syscall(430, "tmpfs", 0))
TRY(tree_open, syscall(428, -100, "/", 1))
TRY(pivot_root, syscall(SYS_pivot_root, "/tmp", "/tmp"))
TRY(chroot_tmp, chroot("/tmp"))
TRY(handle_open, syscall(SYS_open_by_handle_at, -100, (int[]){8, 1, 2, 0}, 0))
TRY(handle_name, syscall(SYS_name_to_handle_at, -100, "/", (int[]){0, 0}, (int[]){0}, 0))
TRY(bpf, syscall(SYS_bpf, 0, NULL, 0))
TRY(perf, syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0))
TRY(userfaultfd, syscall(SYS_userfaultfd, 1))
TRY(io_uring, syscall(425, 1, NULL))
TRY(module, syscall(SYS_init_module, NULL, 0, ""))
TRY(kexec, syscall(SYS_kexec_load, 0, 0, NULL, 0))
TRY(reboot_off, syscall(SYS_reboot, 0, 0, 0, NULL))
TRY(kernel_log, syscall(SYS_syslog, 10, NULL, 0))
TRY(personality, syscall(SYS_personality, 0x0040000))
TRY(fanotify, syscall(SYS_fanotify_init, 0, 0))
TRY(iopl, syscall(SYS_iopl, 3))
TRY(swapon, syscall(SYS_swapon, "/tmp", 0))
TRY(become_root, setuid(0))

/** getpid by the 32-bit gate. */
static long gate32(void) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
  return result;
}

static const struct { const char *name; long (*attempt)(void); } ATTEMPTS[] = {
#define ROW(name) {#name, name}
  ROW(socket_vsock), ROW(socket_alg), ROW(socket_packet), ROW(socket_netfilter), ROW(socket_raw), ROW(keyctl), ROW(add_key),
  ROW(request_key), ROW(ptrace_me), ROW(ptrace_parent), ROW(read_other), ROW(unshare_user), ROW(unshare_net), ROW(clone_user),
  ROW(clone3_user), ROW(setns_init), ROW(mount_proc), ROW(umount_in), ROW(fs_open), ROW(tree_open), ROW(pivot_root),
  ROW(chroot_tmp), ROW(handle_open), ROW(handle_name), ROW(bpf), ROW(perf), ROW(userfaultfd), ROW(io_uring), ROW(module),
  ROW(kexec), ROW(reboot_off), ROW(kernel_log), ROW(personality), ROW(fanotify), ROW(iopl), ROW(swapon), ROW(become_root), ROW(gate32),
};

int main(void) {
  for (unsigned i = 0; i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++) {
    printf("%s ", ATTEMPTS[i].name);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      errno = 0;
      long result = ATTEMPTS[i].attempt();
      if (result == -1) printf("%d\n", errno);
      else printf("ok\n");
      fflush(stdout);
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("killed\n");
  }
  return 0;
}
