#!/bin/sh
# rpm only, after everything else of the transaction: what a replaced Python package took with it is put back.
unit=bos-reporter.service

/usr/lib/bos-reporter/link-spire-agent || :
if [ -e /var/lib/rpm-state/bos-reporter.first ]; then
	rm -f /var/lib/rpm-state/bos-reporter.first
	# As in postinstall.
	if command -v systemctl >/dev/null 2>&1; then
		systemctl preset $unit || :
	else
		mkdir -p /etc/systemd/system/multi-user.target.wants &&
			ln -sf /usr/lib/systemd/system/$unit /etc/systemd/system/multi-user.target.wants/$unit || :
	fi
fi
exit 0
