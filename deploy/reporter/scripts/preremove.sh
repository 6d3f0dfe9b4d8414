#!/bin/sh
# Arguments: dpkg gives "remove" or "upgrade"; rpm gives the number of versions that stay.
unit=bos-reporter.service

case "$1" in
remove)
	if [ -d /run/systemd/system ]; then systemctl stop $unit || :; fi
	;;
0)
	if [ -d /run/systemd/system ]; then systemctl stop $unit || :; fi
	if command -v systemctl >/dev/null 2>&1; then systemctl --no-reload disable $unit || :; fi
	rm -f /etc/systemd/system/multi-user.target.wants/$unit
	;;
esac
exit 0
