# Which processes belong to a unit, and their end.

# From here on orphans among our descendants become our children: none escapes by forking twice.
sub adopt_orphans {
    my (undef, $prctl) = calls();
    syscall $prctl, 36, 1, 0, 0, 0 if $prctl;
}

sub bury { 1 while waitpid(-1, $WNOHANG) > 0 }

sub slurp {
    open my $file, '<', $_[0] or return '';
    local $/;
    return <$file> // '';
}

# What carries the mark, what is in the process group or control group, what descends from `root`, and all their children.
sub members {
    my (%of) = @_;
    my (%found, %children, %alive);
    opendir my $folder, '/proc' or return;
    for my $process (grep { /\A\d+\z/ } readdir $folder) {
        my $stat = slurp("/proc/$process/stat");
        my ($state, $parent, $group) = $stat =~ /.*\) (\S) (\d+) (\d+)/s or next;    # the name may hold spaces and brackets
        next if $state eq 'Z';
        $alive{$process} = 1;
        push @{$children{$parent}}, $process;
        $found{$process} = 1
          if $of{group} && $group == $of{group}
          || index("\0" . slurp("/proc/$process/environ"), "\0$of{mark}\0") >= 0
          || $of{service} && slurp("/proc/$process/cgroup") =~ /:\Q$of{service}\E$/m;
    }
    my @queue = (keys %found, $of{root} // ());
    while (defined(my $process = shift @queue)) {
        for (@{$children{$process} // []}) { push @queue, $_ unless $found{$_}++ }
    }
    delete @found{$$, @{$of{spared} // []}};
    return grep { $alive{$_} } keys %found;
}

# TERM, a grace, then KILL until nothing is left: what forks while it is killed is caught by the next round.
sub reap {
    my ($grace, %of) = @_;
    my $until  = now() + $grace;
    my $signal = 'TERM';
    while (my @members = members(%of)) {
        kill $signal, @members;
        kill 'CONT',  @members;    # a stopped process cannot act on TERM
        nap(0.03);
        bury();
        my $now = now();
        $signal = 'KILL' if $now >= $until;
        return if $now >= $until + 10;
    }
    return 1;
}

# The control group of the service that we are in.
sub own_service {
    return slurp('/proc/self/cgroup') =~ m{^[^:]*:[^:]*:(/.*/provisioning-[^/]*\.service)$}m ? $1 : '';
}

# Runs bash in a process group of its own. `out` and `err` are where it writes.
sub spawn_bash {
    my ($out, $err, $environment, @arguments) = @_;
    my $child = fork;
    return $child if !defined $child || $child;
    setpgrp 0, 0;
    $SIG{$_} = 'DEFAULT' for qw(PIPE TERM CHLD HUP INT XFSZ);
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>&', $out;
    open STDERR, '>&', $err;
    while (my ($name, $value) = splice @$environment, 0, 2) { $ENV{$name} = $value }
    no warnings 'exec';
    exec 'bash', @arguments or syswrite STDERR, "bash: $!\n";
    CORE::exit 127;
}
