#!/bin/sh
# Arguments: dpkg gives "configure" and the version that was configured before, if any; rpm gives the number of
# versions installed now.
unit=bos-reporter.service

enable() {
	if command -v systemctl >/dev/null 2>&1; then
		systemctl preset $unit && return
	fi
	# An image without systemctl: do what the preset says.
	mkdir -p /etc/systemd/system/multi-user.target.wants &&
		ln -sf /usr/lib/systemd/system/$unit /etc/systemd/system/multi-user.target.wants/$unit
}

# In an image that is being built no systemd runs, or not the image's own.
running() { [ -d /run/systemd/system ]; }

/usr/lib/bos-reporter/link-spire-agent || :

case "$1:$2" in
configure:)
	enable || :
	if running; then
		systemctl daemon-reload || :
		systemctl --quiet is-enabled $unit && systemctl --no-block start $unit || :
	fi
	;;
1:*)
	enable || :
	# For posttrans: the package that this one replaces is removed later and disables the unit.
	mkdir -p /var/lib/rpm-state && : >/var/lib/rpm-state/bos-reporter.first || :
	if running; then systemctl daemon-reload || :; fi
	;;
configure:* | [2-9]:*)
	if running; then
		systemctl daemon-reload || :
		systemctl try-restart $unit || :
	fi
	;;
esac
exit 0
