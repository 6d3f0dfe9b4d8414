#!/bin/sh
# Arguments: dpkg gives "remove", "purge" or "upgrade"; rpm gives the number of versions that stay.
case "$1" in
remove | 0)
	rm -f /usr/bin/bos-reporter-spire-agent
	;;
purge)
	rm -f /etc/systemd/system/multi-user.target.wants/bos-reporter.service
	;;
esac
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
exit 0
