# What few units ask for.

sub trim_units {
    my ($highest, $current) = newest();
    write_file("$resource.new", "$highest $current .\n") && durable("$resource.new") && rename "$resource.new", "$resource.units";
}

sub keep_upload {
    remove_tree("$resource.upload");
    mkdir("$resource.upload", 0700) && unpack_bundle("$resource.upload") or finish('cut', 0, 'the bundle did not unpack');
    durable("$resource.upload");
    tell_peer('out', "delivered to $resource.upload\n");
    finish('exit', 0);
}
