# Runs a command, passes its two streams on, kills it with all its children when its time is over or nobody listens any more.

sub probe {
    my $adopting = adopt_orphans();
    $SIG{CHLD} = sub { };    # ends a select
    pipe(my $out, my $out_end) && pipe(my $err, my $err_end) or finish('unknown', 0, "cannot make a pipe: $!");
    my $mark  = "PROVISIONING_PROBE=$f{nonce}";
    my $child = spawn_bash($out_end, $err_end, [PROVISIONING_PROBE => $f{nonce}], '-c', $f{command});
    finish('unknown', 0, "cannot fork: $!") unless defined $child;
    close $_ for $out_end, $err_end;
    my ($verdict, $code) = await_probe($child, now() + $f{limit} + $TICK, {out => $out, err => $err});
    reap(1, mark => $mark, group => $child, root => $$) unless bury() && $adopting;    # it looks at every process there is
    finish($verdict, $code);
}

sub await_probe {
    my ($child, $deadline, $streams) = @_;
    my $status;
    while (!defined $status) {
        while ((my $process = waitpid -1, $WNOHANG) > 0) { $status = $? if $process == $child }
        my $left = $deadline - now();
        return ('timeout', 0) if !defined $status && $left <= 0;
        my $gone = pass_streams($streams, defined $status ? 0 : $left < 0.25 ? $left : 0.25);
        return ('gone', 0) if $gone;
    }
    pass_streams($streams, 0) for 1 .. 16;    # a pipe holds no more than that
    return ('exit', $status & 127 ? 128 + ($status & 127) : $status >> 8);
}

# A piece of each stream that has one. True when the runner is gone. Who does not take what we say has its time limited by
# the command's: the write is not begun while there is no room.
sub pass_streams {
    my ($streams, $wait) = @_;
    my ($read, $write) = ('', '');
    vec($read, fileno $peer, 1) = 1;
    vec($write, fileno $peer, 1) = 1;
    if (select(undef, $write, undef, $wait) > 0) {
        vec($read, fileno $_, 1) = 1 for values %$streams;
    }
    return 0 if select($read, undef, undef, $wait) < 1;
    return 1 if vec($read, fileno $peer, 1) && !defined recv_peek();
    for my $word (keys %$streams) {
        next unless vec $read, fileno $streams->{$word}, 1;
        my $count = sysread $streams->{$word}, my $data, 16 << 10;
        if   ($count) { tell_peer($word, $data) }
        else          { close delete $streams->{$word} }
    }
    return 0;
}
