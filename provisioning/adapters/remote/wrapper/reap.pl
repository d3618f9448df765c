# Finds what belongs to a unit among all processes there are, and ends it.

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
