#!/usr/bin/env ruby
# SPDX-License-Identifier: Apache-2.0
# The Redis adaptor in Ruby, run by aicore:
#   aicore run capture.pcap --to 'exec:ruby redis_adaptor.rb udpflows?events=all'
require "json"
require "redis"

class RedisAdaptor
  attr_reader :ftype

  def initialize(ftype)
    @ftype = ftype
    @conn = Redis.new # REDIS_URL, or redis://localhost:6379
  end

  def insert(key)
    @conn.hset(@ftype, key, "{}")
  end

  def remove(key)
    @conn.hdel(@ftype, key)
  end

  def update(key, data)
    @conn.hset(@ftype, key, data)
  end
end

db = RedisAdaptor.new(ARGV.fetch(0))
failure = nil
$stdout.sync = true
$stdin.each_line(chomp: true) do |line|
  if line.empty? # the end of a batch: answer it
    puts(failure ? JSON.generate(error: failure) : "{}")
    failure = nil
    next
  end
  next if failure # the batch comes again
  begin
    flow = JSON.parse(line)
    case flow["event"]
    when "insert" then db.insert(flow["key"])
    when "update" then db.update(flow["key"], line)
    when "remove" then db.remove(flow["key"])
    end
  rescue Redis::BaseError => e
    failure = e.message
  end
end
