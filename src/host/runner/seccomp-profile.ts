import { createHash } from 'node:crypto'
import { encodeCanonical, type Json } from '../../verify/formats/canonical-json.ts'

/** One rule as the engine reads it (Docker's seccomp profiles, docs.docker.com/engine/security/seccomp). Conditions of a rule hold together. */
export interface SeccompRule {
  readonly names: readonly string[]
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO'
  readonly errnoRet?: number
  readonly args?: readonly { readonly index: number; readonly value: number; readonly valueTwo: number; readonly op: string }[]
}

export interface SeccompProfile {
  readonly defaultAction: 'SCMP_ACT_ERRNO'
  readonly architectures: readonly string[]
  readonly syscalls: readonly SeccompRule[]
}

/**
 * System calls that a workload needs. Taken from the default profile of containers/common (v0.50), without what is for 32-bit
 * programs and without:
 * - `ptrace process_vm_readv process_vm_writev pidfd_getfd process_mrelease`: reach into other processes;
 * - `mount umount2 pivot_root fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr setns unshare chroot`: for those
 *   who build containers. In a user namespace they open much of the kernel to anybody (CVE-2022-0185, CVE-2023-0386);
 * - `keyctl` (with `add_key`, `request_key`): keyrings are not in a namespace (CVE-2016-0728);
 * - `name_to_handle_at` (with `open_by_handle_at`): files outside of the root;
 * - `memfd_secret fanotify_mark reboot syslog adjtimex clock_adjtime modify_ldt remap_file_pages sync personality`: concern the
 *   machine, or nobody has needed them for years.
 * `bpf io_uring_* perf_event_open userfaultfd vmsplice` and modules are not in that profile either.
 */
const ALLOWED: readonly string[] = [
  // files
  ...`access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
fchdir fchmod fchmodat fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs
fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1
inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir
mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
readdir readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs statx
symlink symlinkat sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes write writev`.split(/\s+/),
  // memory
  ...`brk get_mempolicy madvise mbind membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock
munlockall munmap pkey_alloc pkey_free pkey_mprotect set_mempolicy`.split(/\s+/),
  // processes
  ...`arch_prctl capget capset execve execveat exit exit_group fork get_robust_list getcpu getegid geteuid getgid getgroups
getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get
ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl
prlimit64 rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
seccomp set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid setresgid
setresuid setreuid setrlimit setsid setuid sysinfo times uname vfork wait4 waitid`.split(/\s+/),
  // signals and time
  ...`alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause restart_syscall rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo setitimer
sigaltstack signalfd signalfd4 tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime
timerfd_create timerfd_gettime timerfd_settime tkill`.split(/\s+/),
  // waiting and talking inside of the container
  ...`accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2
futex getpeername getrandom getsockname getsockopt io_cancel io_destroy io_getevents io_setup io_submit listen
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 poll ppoll
pselect6 recvfrom recvmmsg recvmsg select semctl semget semop semtimedop sendmmsg sendmsg sendto setsockopt shmat shmctl
shmdt shmget shutdown`.split(/\s+/),
]

/** linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NAMESPACES = 0x7e020000
const ENOSYS = 38
/** linux/socket.h */
const [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK] = [1, 2, 10, 16]
const NETLINK_ROUTE = 0

const is = (index: number, value: number) => ({ index, value, valueTwo: 0, op: 'SCMP_CMP_EQ' })
const allow = (name: string, ...args: NonNullable<SeccompRule['args']>): SeccompRule => ({ names: [name], action: 'SCMP_ACT_ALLOW', args })

/**
 * Which system calls a container may make: all others fail with EPERM. Data, written out for the engine and for the digest
 * in the isolation profile. Only x86-64: 32-bit calls (int 0x80, x32) end the program.
 */
export const SECCOMP_PROFILE: SeccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO',
  architectures: ['SCMP_ARCH_X86_64'],
  syscalls: [
    { names: ALLOWED, action: 'SCMP_ACT_ALLOW' },
    // Threads and processes, in the namespaces that there are. The flags of clone3 lie in memory, where no filter sees them: it
    // is told not to exist, and programs use clone.
    { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: NAMESPACES, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] },
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    // No network namespace holds AF_VSOCK: it reaches the host of a confidential VM. AF_ALG, AF_PACKET and the like are kernel that
    // nobody here needs.
    allow('socket', is(0, AF_UNIX)),
    allow('socket', is(0, AF_INET)),
    allow('socket', is(0, AF_INET6)),
    // To ask which interfaces there are (getifaddrs): there is only lo.
    allow('socket', is(0, AF_NETLINK), is(2, NETLINK_ROUTE)),
    allow('socketpair', is(0, AF_UNIX)),
  ],
}

/** Name and digest (SHA-256 of canonical JSON) of {@link SECCOMP_PROFILE}. */
export const SECCOMP: { readonly profile: 'sealgate-seccomp-v1'; readonly digest: string } = {
  profile: 'sealgate-seccomp-v1',
  digest: createHash('sha256')
    .update(encodeCanonical(SECCOMP_PROFILE as unknown as Json))
    .digest('base64url'),
}
