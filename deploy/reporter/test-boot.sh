#!/bin/bash
# REP-044 and REP-045: boots this machine's own system in a container with systemd, under the unit's hardening, installs the
# DEB, and looks at what the journal and the API say. Changes nothing outside the container. Needs root, dpkg, curl, Go,
# systemd-nspawn and overlayfs; without one of them it says so and ends with 0.
# Usage: deploy/reporter/test-boot.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() { echo "skipped: $*"; exit 0; }
fail() { echo "FAILED: $*" >&2; cat "$tmp/m/root/probe.log" >&2 || tail -20 "$tmp/boot.log" >&2; exit 1; }
[ "$(id -u)" = 0 ] || skip "must be root"
for tool in systemd-nspawn dpkg curl; do
	command -v $tool >/dev/null || skip "$tool is missing"
done
[ -x /lib/systemd/systemd ] || skip "systemd is missing"

tmp=$(mktemp -d)
pid=
cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || :
	umount "$tmp/m" 2>/dev/null || :
	umount "$tmp" 2>/dev/null || :
	rm -rf "$tmp"
}
trap cleanup EXIT
mount -t tmpfs none "$tmp" || skip "no tmpfs"
mkdir "$tmp"/{upper,work,m}
mount -t overlay overlay -o "lowerdir=/,upperdir=$tmp/upper,workdir=$tmp/work" "$tmp/m" || skip "no overlayfs"

arch=$(dpkg --print-architecture)
go run -C deploy/reporter . --version 0.1.0 --out "$tmp" --arch "$arch" --format deb
go build -C deploy/reporter -o "$tmp/api" ./fakebos
"$tmp/api" 2>"$tmp/api.log" &
pid=$!
for _ in $(seq 100); do
	url=$(grep -o 'http://.*' "$tmp/api.log") && break
	sleep 0.1
done
curl -sSf -X PUT -d '[{"id":"x9999c0s0b0n0"}]' "$url/v2/components"

# The container shares the network. Its kernel command line is that of the machine: a drop-in names another.
cp "$tmp/bos-reporter_0.1.0-1_$arch.deb" "$tmp/m/root/reporter.deb"
echo "xname=x9999c0s0b0n0 bss_referral_token=boot-token" >"$tmp/m/etc/test-cmdline"
units=$tmp/m/etc/systemd/system
mkdir -p "$units/bos-reporter.service.d" "$units/multi-user.target.wants"
cat >"$units/bos-reporter.service.d/test.conf" <<-UNIT
	[Service]
	ExecStart=
	ExecStart=/usr/bin/bos-reporter --api $url --cmdline /etc/test-cmdline
	RestartSec=1
UNIT
cat >"$units/probe.service" <<-'UNIT'
	[Unit]
	DefaultDependencies=no
	After=multi-user.target
	[Service]
	Type=oneshot
	StandardOutput=file:/root/probe.log
	StandardError=file:/root/probe.log
	ExecStart=/bin/bash /root/probe.sh
	ExecStopPost=/usr/bin/systemctl poweroff
UNIT
ln -s ../probe.service "$units/multi-user.target.wants/probe.service"
cat >"$tmp/m/root/probe.sh" <<-'PROBE'
	reports() { journalctl -o cat -u bos-reporter | grep -c msg=reported; }
	# expect N DESCRIPTION: waits for the Nth report.
	expect() {
		for _ in $(seq 150); do
			[ "$(reports)" -ge "$1" ] && echo "ok - $2" && return
			sleep 0.1
		done
		echo "not ok - $2"
		journalctl -u bos-reporter
	}
	mkdir -p /opt/cray/cray-spire
	dpkg -i /root/reporter.deb
	expect 1 "reports after the installation"
	[ "$(systemctl is-enabled bos-reporter)" = enabled ] && echo "ok - enabled"
	echo agent >/opt/cray/cray-spire/spire-agent
	[ -e /usr/bin/bos-reporter-spire-agent ] || echo "ok - no link without SPIRE"
	systemctl restart bos-reporter
	expect 2 "reports after a restart"
	[ /usr/bin/bos-reporter-spire-agent -ef /opt/cray/cray-spire/spire-agent ] && echo "ok - the link is there at start"
	systemctl reload bos-reporter
	expect 3 "reports when it is reloaded"
	systemctl kill -s KILL bos-reporter
	expect 4 "reports after it was killed"
	bos-reporter status | grep -q "last success.*ago" && echo "ok - status file"
	journalctl -o json -u bos-reporter | grep msg=reported | grep -q '"PRIORITY":"6"' && echo "ok - priority in the journal"
	dpkg -i /root/reporter.deb
	expect 5 "reports after an upgrade"
	dpkg --purge bos-reporter
	systemctl is-active --quiet bos-reporter || echo "ok - stopped and removed"
PROBE
timeout 300 systemd-nspawn -D "$tmp/m" -b --register=no --keep-unit --link-journal=no </dev/null >"$tmp/boot.log" 2>&1 || :
[ -s "$tmp/m/root/probe.log" ] || { tail -3 "$tmp/boot.log"; skip "a container does not boot here"; }
grep '^ok' "$tmp/m/root/probe.log"
[ "$(grep -c '^ok' "$tmp/m/root/probe.log")" = 11 ] || fail "not all of the 11 checks passed"
curl -sS "$url/v2/components/x9999c0s0b0n0" | grep -q boot-token || fail "the API has no report"
echo "12 passed, 0 failed"
