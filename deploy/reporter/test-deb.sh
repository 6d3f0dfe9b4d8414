#!/bin/bash
# Builds the packages and installs, starts, upgrades and removes them. Needs root, dpkg, curl and Go, and a machine that
# may be changed, such as a container; systemd need not run. What else there is (systemd-analyze, rpm, setpriv) is used.
# Usage: deploy/reporter/test-deb.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

id=x9999c0s0b0n0
unit=/usr/lib/systemd/system/bos-reporter.service
wants=etc/systemd/system/multi-user.target.wants/bos-reporter.service
checks=0

ok() { checks=$((checks + 1)); echo "ok $checks - $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
# check DESCRIPTION COMMAND...
check() { local what=$1; shift; "$@" || fail "$what"; ok "$what"; }
quietly() { "$@" >/dev/null; }
has() { command -v "$1" >/dev/null 2>&1; }
absent() { [ ! -e "$1" ] && [ ! -L "$1" ]; }

[ "$(id -u)" = 0 ] || fail "must be root"
dpkg-query -W -f '${Status}' bos-reporter 2>/dev/null | grep -q ' installed' && fail "bos-reporter is installed on this machine"
for link in /usr/bin/bos-reporter-spire-agent /opt/cray/cray-spire/spire-agent; do
	absent $link || fail "$link exists: this is a real node"
done

tmp=$(mktemp -d)
pids=()
cleanup() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || :; done
	dpkg --purge bos-reporter >/dev/null 2>&1 || :
	rm -f /opt/cray/cray-spire/spire-agent
	rmdir -p --ignore-fail-on-non-empty /opt/cray/cray-spire 2>/dev/null || :
	rm -rf "$tmp"
}
trap cleanup EXIT

arch=$(dpkg --print-architecture)
for v in 0.1.0 0.1.1; do
	go run -C deploy/reporter . --version $v --out "$tmp" --arch "$arch"
done
old=$tmp/bos-reporter_0.1.0-1_$arch.deb new=$tmp/bos-reporter_0.1.1-1_$arch.deb

# mini_root DIR: just enough of a system for the package scripts, without systemd.
mini_root() {
	mkdir -p "$1"/{bin,dev,etc,tmp,var/lib/dpkg/{info,updates}} && : >"$1/var/lib/dpkg/status"
	mknod -m 666 "$1/dev/null" c 1 3 2>/dev/null || : >"$1/dev/null"
	ln -s bin "$1/sbin"
	local b lib
	for b in sh ln cp mv rm mkdir cmp chmod; do
		b=$(command -v $b)
		cp -L "$b" "$1/bin/"
		for lib in $(ldd "$b" | grep -o '/[^ ]*'); do
			mkdir -p "$1$(dirname "$lib")" && cp -Lu "$lib" "$1$lib"
		done
	done
}

echo "# REP-044: an image without systemd and SPIRE, SPIRE later"
root=$tmp/image
mini_root "$root"
check "install in an image" quietly dpkg --root="$root" --force-depends -i "$old"
check "the unit is enabled in the image" test -L "$root/$wants"
check "no link without SPIRE" absent "$root/usr/bin/bos-reporter-spire-agent"
mkdir -p "$root/opt/cray/cray-spire" && echo agent >"$root/opt/cray/cray-spire/spire-agent"
chroot "$root" /usr/lib/bos-reporter/link-spire-agent
check "the link is there at start" test "$root/opt/cray/cray-spire/spire-agent" -ef "$root/usr/bin/bos-reporter-spire-agent"
echo newer >"$root/opt/cray/cray-spire/new" && mv "$root/opt/cray/cray-spire/new" "$root/opt/cray/cray-spire/spire-agent"
chroot "$root" /usr/lib/bos-reporter/link-spire-agent
check "the link follows a new SPIRE agent" test "$root/opt/cray/cray-spire/spire-agent" -ef "$root/usr/bin/bos-reporter-spire-agent"
if mount -t tmpfs none "$root/opt" 2>/dev/null; then
	mkdir -p "$root/opt/cray/cray-spire" && echo elsewhere >"$root/opt/cray/cray-spire/spire-agent"
	chroot "$root" /usr/lib/bos-reporter/link-spire-agent
	umount "$root/opt"
	check "a copy where a link is impossible" grep -q elsewhere "$root/usr/bin/bos-reporter-spire-agent"
fi
check "remove from the image" quietly dpkg --root="$root" --purge bos-reporter
check "nothing is left in the image" absent "$root/$wants"
check "the link is gone" absent "$root/usr/bin/bos-reporter-spire-agent"

echo "# install on this machine"
mkdir -p /opt/cray/cray-spire && echo agent >/opt/cray/cray-spire/spire-agent
check "install" quietly dpkg -i "$old"
check "version" test "$(bos-reporter version)" = "bos-reporter 0.1.0"
check "the old name works" test "$(/opt/cray/csm/scripts/bos/bos_reporter version)" = "bos-reporter 0.1.0"
check "the unit is enabled" test -L "/$wants"
check "the SPIRE agent is linked" test /opt/cray/cray-spire/spire-agent -ef /usr/bin/bos-reporter-spire-agent
rc=0
bos-reporter --once --cmdline /dev/null 2>"$tmp/err" || rc=$?
check "no identity: exit 78 and one line" test "$rc $(wc -l <"$tmp/err")" = "78 1"

if has systemd-analyze; then
	if systemd-analyze verify $unit >"$tmp/verify" 2>&1 && ! grep bos-reporter "$tmp/verify"; then
		ok "systemd-analyze verify has nothing to say"
	else
		cat "$tmp/verify" >&2
		fail "systemd-analyze verify"
	fi
	if score=$(systemd-analyze security --offline=true --no-pager $unit 2>/dev/null | grep -a 'Overall exposure'); then
		echo "# $score"
	else
		echo "# systemd-analyze security --offline is not available"
	fi
fi

echo "# report to an API"
if [ -d cmd/bos-api ]; then
	go build -o "$tmp/api" ./cmd/bos-api
	"$tmp/api" --listen 127.0.0.1:0 --store memory: 2>"$tmp/api.log" &
else
	go build -C deploy/reporter -o "$tmp/api" ./fakebos
	"$tmp/api" 2>"$tmp/api.log" &
fi
pids+=($!)
for _ in $(seq 100); do
	url=$(grep -o 'http://[^ "]*' "$tmp/api.log" | head -1) && break
	sleep 0.1
done
[ -n "$url" ] || { cat "$tmp/api.log" >&2; fail "the API does not start"; }

curl -sSf -X PUT -H 'Content-Type: application/json' -d "[{\"id\":\"$id\"}]" "$url/v2/components" >/dev/null
# reports TOKEN: starts the reporter without privileges, waits until the API has the token, and stops it.
reports() {
	local drop=() pid i found=no rc=0
	has setpriv && drop=(setpriv --no-new-privs --bounding-set=-all --inh-caps=-all)
	echo "console=tty0 xname=$id bss_referral_token=$1 bos_update_frequency=4h" >"$tmp/cmdline"
	"${drop[@]}" /opt/cray/csm/scripts/bos/bos_reporter --api "$url" --cmdline "$tmp/cmdline" --status-file "$tmp/status.json" 2>"$tmp/log" &
	pid=$!
	pids+=($pid)
	for i in $(seq 100); do
		if curl -sS "$url/v2/components/$id" | grep -q "$1" && grep -q msg=reported "$tmp/log"; then
			found=yes
			break
		fi
		sleep 0.1
	done
	kill $pid
	wait $pid || rc=$?
	bos-reporter status --status-file "$tmp/status.json"
	cat "$tmp/log"
	[ "$found $rc" = "yes 0" ]
}
check "the report arrives, SIGTERM ends with 0" reports token-one
check "the status file is readable for all" test "$(stat -c %a "$tmp/status.json")" = 644

echo "# upgrade"
echo "initial_splay = 0s" >/etc/bos-reporter.conf
check "upgrade" quietly dpkg -i "$new"
check "new version" test "$(bos-reporter version)" = "bos-reporter 0.1.1"
check "the configuration is kept" test "$(cat /etc/bos-reporter.conf)" = "initial_splay = 0s"
check "the unit is still enabled" test -L "/$wants"
check "the SPIRE agent is still linked" test /opt/cray/cray-spire/spire-agent -ef /usr/bin/bos-reporter-spire-agent
check "it reports after the upgrade" reports token-two
rm "/$wants"
check "upgrade again" quietly dpkg -i "$new"
check "a unit that was disabled stays so" absent "/$wants"

echo "# remove"
check "remove" quietly dpkg --remove bos-reporter
check "the program is gone" absent /usr/bin/bos-reporter
check "the old name is gone" absent /opt/cray/csm/scripts/bos/bos_reporter
check "the link is gone" absent /usr/bin/bos-reporter-spire-agent
check "the configuration stays" test -e /etc/bos-reporter.conf
check "purge" quietly dpkg --purge bos-reporter
check "the configuration is gone" absent /etc/bos-reporter.conf
check "the unit is not enabled" absent "/$wants"

if has rpm; then
	echo "# RPM in an image"
	case $arch in amd64) rpmarch=x86_64 ;; arm64) rpmarch=aarch64 ;; *) rpmarch=$arch ;; esac
	root=$tmp/rpmimage
	mini_root "$root"
	mkdir -p "$root/opt/cray/cray-spire" && echo agent >"$root/opt/cray/cray-spire/spire-agent"
	rpm() { command rpm --root "$root" "$@"; }
	check "rpm install" rpm -i --nodeps "$tmp/bos-reporter-0.1.0-1.$rpmarch.rpm"
	check "rpm: the unit is enabled" test -L "$root/$wants"
	check "rpm: the SPIRE agent is linked" test "$root/opt/cray/cray-spire/spire-agent" -ef "$root/usr/bin/bos-reporter-spire-agent"
	check "rpm: no trace of the transaction" absent "$root/var/lib/rpm-state/bos-reporter.first"
	echo "initial_splay = 0s" >"$root/etc/bos-reporter.conf"
	check "rpm upgrade" rpm -U --nodeps "$tmp/bos-reporter-0.1.1-1.$rpmarch.rpm"
	check "rpm: the configuration is kept" grep -qx "initial_splay = 0s" "$root/etc/bos-reporter.conf"
	check "rpm: still enabled" test -L "$root/$wants"
	check "rpm: still linked" test -e "$root/usr/bin/bos-reporter-spire-agent"
	check "rpm: replaces the Python package" sh -c "rpm --root '$root' -q --obsoletes bos-reporter | grep -qx python3-bos-reporter"
	check "rpm: stands in for it" sh -c "rpm --root '$root' -q --provides bos-reporter | grep -qx 'python-bos-reporter = 0.1.1'"
	check "rpm erase" rpm -e bos-reporter
	check "rpm: not enabled" absent "$root/$wants"
	check "rpm: the link is gone" absent "$root/usr/bin/bos-reporter-spire-agent"
fi
if has rpm && has rpmbuild; then
	echo "# RPM in place of the Python package, whose scripts run last"
	cat >"$tmp/python.spec" <<-SPEC
		Name: python3-bos-reporter
		Version: 3.3.2
		Release: 1
		Summary: Stand-in for the Python package
		License: MIT
		%description
		Stand-in.
		%files
		%post
		ln -f /opt/cray/cray-spire/spire-agent /usr/bin/bos-reporter-spire-agent
		%preun
		rm -f /$wants
		%postun
		rm -f /usr/bin/bos-reporter-spire-agent
	SPEC
	rpmbuild --quiet --target "$rpmarch" --define "_topdir $tmp/rpmbuild" -bb "$tmp/python.spec"
	root=$tmp/pythonimage
	mini_root "$root"
	mkdir -p "$root/opt/cray/cray-spire" "$root/usr/bin" && echo agent >"$root/opt/cray/cray-spire/spire-agent"
	check "rpm: install the Python package" rpm -i --nodeps "$tmp/rpmbuild/RPMS/$rpmarch/python3-bos-reporter-3.3.2-1.$rpmarch.rpm"
	check "rpm: replace it" rpm -U --nodeps "$tmp/bos-reporter-0.1.0-1.$rpmarch.rpm"
	check "rpm: it is gone" test "$(rpm -qa)" = "bos-reporter-0.1.0-1.$rpmarch"
	check "rpm: the unit is enabled all the same" test -L "$root/$wants"
	check "rpm: the SPIRE agent is linked all the same" test -e "$root/usr/bin/bos-reporter-spire-agent"
fi
echo "$checks passed, 0 failed"
