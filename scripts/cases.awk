# Reads the output of "go test -v" and counts the cases of the specification by the numbers in the tests' names, such as
# TestOPPower/OP-039 and "SVC-028 to SVC-030". A case passes when a test of it passes and none fails.

BEGIN {
	numbers["API"] = "1-152"
	numbers["OP"] = "1-142"
	numbers["REP"] = "1-45" # 44 and 45 are packages: make package-test
	numbers["SVC"] = "1-15 20-36 40-59 60-73 80-88 90-110 120-123"
	n = split("API OP REP SVC", families, " ")
}

/^ *--- (PASS|FAIL): / {
	name = $3
	before = 0
	while (match(name, /(API|OP|REP|SVC)-[0-9][0-9][0-9]/)) {
		split(substr(name, RSTART, RLENGTH), part, "-")
		last = part[2] + 0
		first = before && substr(name, 1, RSTART - 1) == "_to_" ? before + 1 : last
		for (i = first; i <= last; i++) {
			if ($2 == "PASS:") passed[part[1], i] = 1
			else failed[part[1], i] = 1
		}
		before = last
		name = substr(name, RSTART + RLENGTH)
	}
}

/^FAIL\t/ || /\[(build|setup) failed\]/ { print; bad = 1 }

END {
	for (f = 1; f <= n; f++) {
		family = families[f]
		count = total = 0
		missing = broken = ""
		spans = split(numbers[family], span, " ")
		for (s = 1; s <= spans; s++) {
			split(span[s], ends, "-")
			for (i = ends[1] + 0; i <= ends[2] + 0; i++) {
				total++
				if ((family, i) in failed) broken = broken sprintf(" %03d", i)
				else if ((family, i) in passed) count++
				else missing = missing sprintf(" %03d", i)
			}
		}
		if (broken != "") bad = 1
		printf "%-4s%4d of %3d pass; failed:%s; missing:%s\n", family, count, total, broken == "" ? " none" : broken, missing == "" ? " none" : missing
	}
	exit bad
}
