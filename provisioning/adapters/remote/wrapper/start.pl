# Claims a unit, unpacks its bundle and becomes its supervisor; or follows one that runs, or repeats what one has said.

sub start_unit {
    places();
    settle_in();
    open_lock();
    wait_for_lock();
    look_back();
    finish('absent') unless $f{payload};
    if ($f{upload_only}) { keep_upload() }
    deliver();
    supervise() unless has_systemd() && in_service();
    leave();
}

# Nobody waits for us any more: what has not begun does not begin.
sub runner_is_gone {
    vec(my $read = '', fileno $peer, 1) = 1;
    return select($read, undef, undef, 0) && !defined recv_peek() ? 1 : 0;
}

sub recv_peek {
    my $answer = recv $peer, my $data, 1, $MSG_PEEK;
    return defined $answer && length $data ? $data : undef;
}

# ---------------------------------------------------------------- what has been before

# A unit's name is its run, a hash of its step, its attempt.
sub same_step_elsewhere {
    my ($run, $step)             = $_[0] =~ /\A(.*)\.([0-9a-f]+)\.\d+\z/     or return;
    my ($our_run, $our_step) = $f{name} =~ /\A(.*)\.([0-9a-f]+)\.\d+\z/ or return;
    return $step eq $our_step && $run ne $our_run;
}

sub same_work {
    my ($digest, $operation) = claimed("$units/$_[0]");
    return defined $digest && $digest eq $f{digest} && $operation eq $f{operation};
}

sub wait_for_lock {
    my ($until, $told) = (now() + $f{limit} + 1);
    until (try_lock()) {
        my ($highest, $current) = newest();
        if (length $current && claimed("$units/$current") && !recorded("$units/$current")) {
            follow($current) if $current eq $f{name};
            finish('fenced', $highest) if $f{token} < $highest;
            follow($current) if same_work($current);
            tell_peer('waits', $current) unless $told++;
        }
        replay($f{name}) if !-l $unit && recorded($unit);
        finish('refused', 0, "another unit holds the resource: $current") if now() >= $until;
        leave() if runner_is_gone();
        nap(0.05);
    }
}

# A recorded failure is no reason not to try again. A recorded success is, if it is that of an attempt whose end our runner
# has not heard of: one it names, or one of the same step in another run, whose runner never said that it recorded the end.
sub look_back {
    my ($highest, $current) = newest();
    replay($f{name}) if !-l $unit && known($unit);
    finish('fenced', $highest) if $f{token} < $highest;
    settle($f{name}, 'it had been started, and no result was recorded: nobody knows how far it went') if !-l $unit && claimed($unit);
    my $earlier = target_of("$units/$f{earlier}") || $f{earlier};
    my %named = map { $_ => 1 } grep { length } $earlier, $f{seen}, target_of($unit);
    for my $name (keys %named, $named{$current} ? () : $current) {
        next if $name eq '' || $name eq $f{name} || !claimed("$units/$name");
        if (my ($kind, $code) = known("$units/$name")) {
            my $meant = $named{$name} || !$f{fresh} && !-e "$units/$name/taken" && same_step_elsewhere($name);
            replay($name) if $meant && $kind eq 'exit' && $code == 0 && same_work($name);
            unlink "$units/$name/out", "$units/$name/total";    # nobody will ask for it again
        }
        else {
            settle($name, 'an earlier attempt had been started, and no result was recorded: nobody knows how far it went');
        }
    }
}

# ---------------------------------------------------------------- delivering

# Nothing has run: the folder goes, so that the same attempt can be delivered again.
sub give_up {
    my ($why) = @_;
    forget_secrets();
    remove_tree($unit);
    finish('cut', 0, $why);
}

sub unpack_bundle {
    my ($folder) = @_;
    return write_files($folder, words($f{files})) unless $f{archive};
    open my $tar, '|-', 'tar', '-xzof', '-', '-C', $folder or return;
    tell_peer('want');
    my $left = $f{archive};
    while ($left) {
        sysread $peer, my $data, $left < $PIECE ? $left : $PIECE or return;
        $left -= length $data;
        while (length $data) {
            my $count = syswrite $tar, $data or return;
            substr $data, 0, $count, '';
        }
    }
    return close $tar;
}

sub deliver {
    unlink $unit if -l $unit;
    if (-e $unit) {    # an upload that was cut, or a claim that was settled
        replay($f{name}) if known($unit);
        forget_secrets();
        remove_tree($unit);
    }
    mkdir($unit, 0700) && mkdir "$unit/bundle", 0700 or give_up("cannot write to $units: $!");
    my @secrets = words($f{secrets});
    my $memory  = @secrets ? take_secrets(@secrets) : '';
    unpack_bundle("$unit/bundle") or give_up('the bundle did not unpack');
    link_secrets($memory, @secrets) if @secrets;
    trim_units() if $trim;
    give_up('the runner is gone') if runner_is_gone();
    # Durable before the first effect: after a power cut the claim says that something may have happened.
    write_file("$unit/claim", join("\n", @f{qw(digest operation nonce)}, ".\n")) && append_line("$resource.units", "$f{token} $f{name} .")
      or give_up("the claim could not be written: $!");
    give_up('it was cancelled') if recorded($unit);
    durable("$unit/claim", "$resource.units", $unit, $units, $resources, @fresh) or give_up("the claim could not be made durable: $!");
}
