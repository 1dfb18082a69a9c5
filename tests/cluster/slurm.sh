#!/usr/bin/env bash
# A real SLURM on this machine for the tests: Debian packages, one controller, three
# nodes with a fake GPU each, no systemd. Needs root.
#
#   slurm.sh start    install, configure, start, wait until idle; again: does nothing
#   slurm.sh stop     end the daemons and remove the configuration; packages stay
set -euo pipefail

HOME_DIR=/var/tmp/rankone-slurm
# Job steps drop SLURM_CONF from their environment: no other place works.
ETC=/etc/slurm
MARK="# Rankone's test cluster (tests/cluster/slurm.sh)"
NODES=(node1 node2 node3)
HOST=$(hostname -s)
unset SLURM_CONF

die() {
  echo "Error: $*" >&2
  exit 1
}

wait_for() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

alive() { # DAEMON, by its pid file; a zombie is dead
  local file=$HOME_DIR/run/$1.pid
  [ -s "$file" ] && grep -qs "^$(<"$file") (${1%-*}) [^ZX]" "/proc/$(<"$file")/stat"
}

ours() {
  [ ! -e "$ETC/slurm.conf" ] || [ "$(head -n 1 "$ETC/slurm.conf")" = "$MARK" ]
}

install_packages() {
  local missing=
  for program in munged slurmctld slurmd squeue; do
    command -v $program >/dev/null || missing=1
  done
  [ "$missing" ] || return 0
  command -v apt-get >/dev/null || die "no apt-get here; install munge, slurmctld, slurmd and slurm-client."
  # The packages must not start services of their own.
  local policy=/usr/sbin/policy-rc.d made=
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends munge slurmctld slurmd slurm-client; } \
    >"$HOME_DIR/log/apt.log" 2>&1 || { tail "$HOME_DIR/log/apt.log" >&2; die "apt-get install failed."; }
  [ -z "$made" ] || rm $policy
}

configure() {
  cat <<CONF
$MARK
ClusterName=rankone
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=26817
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
# A short life of credentials: a requeued job starts again after so many seconds.
AuthInfo=socket=$HOME_DIR/run/munge.socket,cred_expire=10
StateSaveLocation=$HOME_DIR/state
SlurmdSpoolDir=$HOME_DIR/spool/%n
SlurmctldPidFile=$HOME_DIR/run/slurmctld.pid
SlurmdPidFile=$HOME_DIR/run/slurmd-%n.pid
SlurmctldLogFile=$HOME_DIR/log/slurmctld.log
SlurmdLogFile=$HOME_DIR/log/slurmd-%n.log
# No cgroups; pgid, and not linuxproc, which loses jobs whose shell has died.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
# Nodes may promise more than the machine has.
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
JobCompType=jobcomp/filetxt
JobCompLoc=$HOME_DIR/log/jobs.txt
AccountingStorageType=accounting_storage/none
CONF
  local port=26820
  for node in "${NODES[@]}"; do
    echo "NodeName=$node NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((++port)) CPUs=16 RealMemory=200000 Gres=gpu:1"
  done
  echo "PartitionName=batch Nodes=ALL Default=YES MaxTime=1440 PriorityTier=1"
  echo "PartitionName=accelerated Nodes=ALL MaxTime=1440 PriorityTier=1"
  echo "PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=2"
}

start_munge() {
  alive munged && return
  local key=$HOME_DIR/munge.key
  [ -s "$key" ] || dd if=/dev/urandom of="$key" bs=1024 count=1 status=none
  chmod 600 "$key"
  munged --key-file="$key" --socket="$HOME_DIR/run/munge.socket" \
    --pid-file="$HOME_DIR/run/munged.pid" --log-file="$HOME_DIR/log/munged.log" \
    --seed-file="$HOME_DIR/munge.seed" || die "munged does not start; see $HOME_DIR/log."
}

all_idle() {
  [ "$(sinfo --noheader --Node --partition=batch --states=idle | wc -l)" = ${#NODES[@]} ]
}

start() {
  [ "$(id -u)" = 0 ] || die "the test cluster needs root."
  ours || die "$ETC/slurm.conf is not of this test cluster: this machine has a SLURM of its own."
  mkdir -p "$HOME_DIR"/{run,log,state,dev} "$ETC"
  install_packages
  configure >"$ETC/slurm.conf"
  # A GPU's file must be a device: a second /dev/null.
  [ -c "$HOME_DIR/dev/gpu0" ] || mknod -m 666 "$HOME_DIR/dev/gpu0" c 1 3
  printf '%s\nName=gpu File=%s\n' "$MARK" "$HOME_DIR/dev/gpu0" >"$ETC/gres.conf"
  start_munge
  alive slurmctld || slurmctld -i || die "slurmctld does not start; see $HOME_DIR/log."
  for node in "${NODES[@]}"; do
    mkdir -p "$HOME_DIR/spool/$node"
    alive "slurmd-$node" || slurmd -N "$node" || die "slurmd does not start; see $HOME_DIR/log."
  done
  wait_for 30 all_idle || { sinfo --Node --long; die "the nodes are not idle."; }
}

stop() {
  ours || die "$ETC/slurm.conf is not of this test cluster; nothing was stopped."
  # A job outlives its daemons.
  if alive slurmctld; then
    scancel --user="$(id -un)"
    wait_for 60 no_jobs || die "jobs do not end: $(squeue --noheader)."
  fi
  for node in "${NODES[@]}"; do end "slurmd-$node"; done
  end slurmctld
  end munged
  rm -rf "$HOME_DIR" "$ETC/slurm.conf" "$ETC/gres.conf"
}

no_jobs() {
  [ -z "$(squeue --noheader)" ]
}

end() { # DAEMON
  alive "$1" || return 0
  kill "$(<"$HOME_DIR/run/$1.pid")"
  wait_for 15 gone "$1" || die "$1 does not end."
}

gone() {
  ! alive "$1"
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  *) die "usage: $0 start | stop" ;;
esac
